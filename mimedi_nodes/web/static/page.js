// SPDX-License-Identifier: Apache-2.0
// The operator's page: shows what the stream tells, sends acts; everything from outside is set as text, never as markup.
"use strict";

const FRENCH = {
  name: "Nom", password: "Mot de passe", log_in: "Se connecter", log_out: "Se déconnecter", day: "jour de procédé",
  cells: "cellules viables", left: "temps restant prévu", question: "Question", alarms: "Alarmes", trends: "Tendances",
  reason: "Motif", back: "Retour", no_batch: "AUCUN LOT", no_coordinator: "PAS DE COORDINATEUR", no_alarms: "Aucune alarme",
  not_watched: "ALARMES NON SURVEILLÉES", no_data: "SANS DONNÉES", lost: "liaison perdue, dernier état connu",
  sent: "envoyé …", taken: "accepté", refused: "refusé", acknowledge: "Acquitter", reset: "Réarmer", shelve: "Mettre en attente 1 h",
  unshelve: "Remettre en service", pause: "Pause", resume: "Reprendre", hold: "Suspendre", restart: "Redémarrer",
  stop: "Arrêter", abort: "Abandonner", phases: "phases", of: "sur", waits: "attend", free: "votre réponse", send: "Répondre",
};
const ENGLISH = {
  name: "Name", password: "Password", log_in: "Log in", log_out: "Log out", day: "process day", cells: "viable cells",
  left: "expected time left", question: "Question", alarms: "Alarms", trends: "Trends", reason: "Reason", back: "Go back",
  no_batch: "NO BATCH", no_coordinator: "NO COORDINATOR", no_alarms: "No alarms", not_watched: "ALARMS NOT WATCHED",
  no_data: "NO DATA", lost: "connection lost, last known state", sent: "sent …", taken: "taken", refused: "refused",
  acknowledge: "Acknowledge", reset: "Reset", shelve: "Shelve 1 h", unshelve: "Unshelve", pause: "Pause", resume: "Resume",
  hold: "Hold", restart: "Restart", stop: "Stop", abort: "Abort", phases: "phases", of: "of", waits: "waits", free: "your answer",
  send: "Answer",
};
const CONSEQUENCE = {
  pause: ["Stops at the next safe point; nothing is switched off.", "S’arrête au prochain point sûr ; rien n’est coupé."],
  resume: ["Goes on from where it was paused.", "Reprend là où il était en pause."],
  hold: ["Pumps and sound go off now; heat, gas and stirring are kept.",
         "Pompes et ultrasons s’arrêtent ; chauffage, gaz et agitation sont maintenus."],
  restart: ["Held phases start again from their last checkpoint.", "Les phases suspendues repartent de leur point de reprise."],
  stop: ["Ends in order and cannot be taken up again.", "Se termine en ordre et ne peut être repris."],
  abort: ["Ends at once and cannot be taken up again.", "Se termine aussitôt et ne peut être repris."],
  shelve: ["It is not heard for an hour.", "Elle se tait pendant une heure."],
  unshelve: ["It is heard again.", "Elle est de nouveau signalée."],
};
const french = navigator.language.toLowerCase().startsWith("fr");
const T = french ? FRENCH : ENGLISH;
const COMMANDS = ["pause", "resume", "hold", "restart", "stop", "abort"];
const HELD = ["pausing", "paused", "holding", "held"], BAD = ["stopping", "stopped", "aborting", "aborted"];
const MARK = { high: "■", medium: "▲", low: "▼" };
const $ = (id) => document.getElementById(id);
let me = null, socket = null, shownCurves = "", shownBatch = "", wanted = "", heard = 0, pendingAct = null;

function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}
function set(id, text) { if ($(id).textContent !== text) $(id).textContent = text; }
function number(value, digits) { return value === null ? "–" : value.toFixed(digits); }
function powers(value) {
  if (value === null) return "–";
  if (value === 0) return "0";
  const [mantissa, exponent] = value.toExponential(2).split("e");
  return `${mantissa} × 10${[..."" + Number(exponent)].map((c) => c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[c]).join("")}`;
}
function hours(value) {
  if (value === null) return "–";
  const minutes = Math.max(0, Math.round(value * 60));
  if (minutes >= 1440) { const h = Math.round(minutes / 60); return `${Math.floor(h / 24)} d ${h % 24} h`; }
  return minutes >= 60 ? `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")}` : `${minutes} min`;
}
async function ask(path, body) {
  const options = body === undefined ? {} :
    { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const reply = await fetch(path, options);
  const found = await reply.json();
  if (reply.status === 401) showLogin(true);
  return { ok: reply.ok, ...found };
}
async function act(kind, body, name) {
  set("told", `${name}: ${T.sent}`);
  const found = await ask(`/api/${kind}`, body);
  set("told", found.ok ? `${name}: ${T.taken}` : `${name}: ${T.refused}: ${found.message}`);
}
function confirmAct(name, run) {
  pendingAct = run;
  set("act_title", T[name]);
  set("act_text", CONSEQUENCE[name][french ? 1 : 0]);
  set("act_go", T[name]);
  $("act_why").value = "";
  $("act_go").disabled = true;
  $("act").showModal();
  $("act_why").focus();
}

function show(state) {
  heard = Date.now();
  document.body.classList.remove("lost");
  const batch = state.batch;
  shownBatch = batch ? batch.batch_id : "";
  const word = !state.coordinator ? T.no_coordinator : batch === null ? T.no_batch : batch.state.toUpperCase();
  set("state", word);
  const abnormal = batch && HELD.includes(batch.state) ? "far held" : batch && BAD.includes(batch.state) ? "far bad" : "far";
  $("state").className = abnormal;
  $("batch").classList.toggle("stale", !state.coordinator);
  set("identity", batch ? `${batch.batch_id}  ·  ${batch.recipe}` : "");
  showChoice(state);
  set("day", batch ? number(batch.process_day, 1) : "–");
  set("cells", batch ? powers(batch.viable_cells) : "–");
  set("left", batch ? hours(batch.expected_remaining_h) : "–");
  set("phase", batch ? [batch.phase, batch.step].filter(Boolean).join("  ·  ") : "");
  $("progress").value = batch && batch.progress !== null ? batch.progress : 0;
  const share = batch && batch.progress !== null ? `${Math.round(100 * batch.progress)} %` : "";
  const phases = batch && batch.phases_total ? `${batch.phases_done} ${T.of} ${batch.phases_total} ${T.phases}` : "";
  set("done", [share, phases].filter(Boolean).join("  ·  "));
  set("hold", batch ? batch.hold_reason : "");
  $("hold").hidden = !batch || !batch.hold_reason;
  showPrompt(state.prompt);
  showModules(state.modules);
  showAlarms(state);
  for (const name of COMMANDS) {
    $(`command_${name}`).disabled = !state.allowed.includes(name) || !me.acts.includes("command");
  }
  const key = JSON.stringify(state.curves);
  if (key !== shownCurves) { shownCurves = key; showCurves(); }
}
function showChoice(state) {
  const names = Object.keys(state.batches);
  $("choice").hidden = names.length < 2;
  const key = JSON.stringify([state.batches, shownBatch]);
  if ($("choice").dataset.key !== key && document.activeElement !== $("choice")) {
    $("choice").dataset.key = key;
    $("choice").replaceChildren(...names.map((name) => {
      const option = element("option", `${name}  ·  ${state.batches[name].toUpperCase()}`);
      option.value = name;
      option.selected = name === shownBatch;
      return option;
    }));
  }
  set("waiting", `${state.waiting.join(", ")} ${T.waits}`);
  $("waiting").hidden = !state.waiting.length;
}
$("choice").onchange = () => {
  wanted = $("choice").value;
  $("choice").blur();
  if (socket && socket.readyState === WebSocket.OPEN) socket.send(wanted);
};
function showPrompt(prompt) {
  const key = prompt ? `${prompt.batch_id}/${prompt.prompt_id}` : "";
  $("prompt").hidden = !prompt;
  if ($("prompt").dataset.key === key) return;
  $("prompt").dataset.key = key;
  $("answers").replaceChildren();
  if (!prompt) return;
  set("question", prompt.batch_id === shownBatch ? prompt.question : `${prompt.batch_id}: ${prompt.question}`);
  const give = (answer) => act("answer", { batch_id: prompt.batch_id, prompt_id: prompt.prompt_id, answer }, prompt.prompt_id);
  for (const answer of prompt.answers) {
    const button = element("button", answer);
    button.onclick = () => give(answer);
    $("answers").append(button);
  }
  if (!prompt.answers.length) {
    const field = element("input");
    field.placeholder = T.free;
    const button = element("button", T.send);
    button.onclick = () => field.value.trim() && give(field.value.trim());
    $("answers").append(field, button);
  }
}
function showModules(modules) {
  $("modules").replaceChildren(...modules.map((module) => {
    const tile = element("div", undefined, module.stale || !module.state ? "tile stale" : "tile");
    tile.append(element("div", module.module.replaceAll("_", " "), "small"));
    const word = module.state ? module.state + (module.stale ? "?" : "") : T.no_data;
    const held = ["HELD", "HOLDING", "PAUSED", "PAUSING"].includes(module.state) && !module.stale;
    const bad = ["ABORTED", "ABORTING", "STOPPING"].includes(module.state) && !module.stale;
    tile.append(element("b", word, held ? "held" : bad ? "bad" : ""));
    tile.append(element("div", module.action));
    tile.append(element("div", (held || bad) && module.last_error || module.step, "small"));
    return tile;
  }));
}
function showAlarms(state) {
  const key = JSON.stringify([state.supervisor, state.alarms]);
  if ($("alarms").dataset.key === key) return;
  $("alarms").dataset.key = key;
  if (!state.supervisor) { $("alarms").replaceChildren(element("b", T.not_watched, "stale")); return; }
  if (!state.alarms.length) { $("alarms").replaceChildren(element("span", T.no_alarms)); return; }
  $("alarms").replaceChildren(...state.alarms.map((alarm) => {
    const row = element("div", undefined, alarm.waits ? "alarm waits" : "alarm");
    row.append(element("span", MARK[alarm.priority], `mark ${alarm.waits ? alarm.priority : "quiet"}`));
    const text = element("div");
    text.append(element("b", alarm.message || alarm.alarm_id));
    text.append(element("div", alarm.response));
    text.append(element("div", `${alarm.alarm_id}  ·  ${alarm.state.toLowerCase().replaceAll("_", " ")}`, "small"));
    row.append(text);
    const offer = (name, body) => {
      const button = element("button", T[name]);
      const run = (why) => act("alarm", { alarm_id: alarm.alarm_id, act: name, why, ...body }, alarm.alarm_id);
      button.onclick = () => name in CONSEQUENCE ? confirmAct(name, run) : run("");
      row.append(button);
    };
    if (alarm.waits && me.acts.includes("acknowledge")) offer("acknowledge", {});
    if (alarm.state === "LATCHED_ACKNOWLEDGED" && me.acts.includes("acknowledge")) offer("reset", {});
    if (me.acts.includes("shelve")) {
      if (alarm.state === "SHELVED") offer("unshelve", {});
      else if (!["SUPPRESSED_BY_DESIGN", "OUT_OF_SERVICE"].includes(alarm.state)) offer("shelve", { hours: 1.0 });
    }
    return row;
  }));
}
async function showCurves() {
  const curves = await ask("/api/curves");
  if (!curves.ok) return;
  const list = Object.keys(curves).filter((k) => k !== "ok").map((k) => curves[k]);
  $("trends").replaceChildren(...list.filter((c) => c.values.some((v) => v !== null)).map(draw));
}
function draw(curve) {
  const space = "http://www.w3.org/2000/svg";
  const log = curve.name.endsWith("cells");
  const points = curve.days.map((d, i) => [d, curve.values[i]]).filter(([, v]) => v !== null && (!log || v > 0));
  const ys = points.map(([, v]) => log ? Math.log10(v) : v);
  const low = Math.min(...ys), high = Math.max(...ys), first = points[0][0], last = points[points.length - 1][0];
  const x = (d) => 10 + 380 * (last > first ? (d - first) / (last - first) : 0.5);
  const y = (v) => 100 - 72 * (high > low ? ((log ? Math.log10(v) : v) - low) / (high - low) : 0.5);
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 400 130");
  const line = document.createElementNS(space, "polyline");
  line.setAttribute("points", points.map(([d, v]) => `${x(d).toFixed(1)},${y(v).toFixed(1)}`).join(" "));
  line.setAttribute("fill", "none");
  line.setAttribute("stroke", "#202020");
  line.setAttribute("stroke-width", "2");
  svg.append(line);
  const say = (text, left, top, anchor) => {
    const made = document.createElementNS(space, "text");
    made.setAttribute("x", left); made.setAttribute("y", top); made.setAttribute("text-anchor", anchor);
    made.textContent = text;
    svg.append(made);
  };
  const value = points[points.length - 1][1];
  const short = (v) => Math.abs(v) >= 1e5 ? powers(v) : v.toFixed(1);
  say(`${curve.module} ${curve.name}: ${short(value)} ${curve.unit}`, 10, 16, "start");
  say(short(log ? 10 ** high : high), 390, 16, "end");
  say(short(log ? 10 ** low : low), 390, 98, "end");
  say(`${T.day} ${first.toFixed(1)} – ${last.toFixed(1)}`, 390, 124, "end");
  return svg;
}

function connect() {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  socket = new WebSocket(`${scheme}://${location.host}/ws`);
  socket.onopen = () => { if (wanted) socket.send(wanted); };
  socket.onmessage = (event) => show(JSON.parse(event.data));
  socket.onclose = (event) => {
    lost();
    if (event.code === 4401) { me = null; showLogin(true); return; }
    setTimeout(() => me && connect(), 2000);
  };
}
function lost() { document.body.classList.add("lost"); set("told", T.lost); }
// The server tells something every ten seconds at least.
setInterval(() => { if (me && heard && Date.now() - heard > 15000) lost(); }, 1000);

async function showLogin(accounts) {
  if (socket) { socket.onclose = null; socket.close(); socket = null; }
  $("page").hidden = true;
  $("login").hidden = false;
  $("password_row").hidden = !accounts;
  $("user").focus();
}
function enter(found) {
  me = found;
  set("who", me.roles.length ? `${me.name} (${me.roles.join(", ")})` : me.name);
  $("login").hidden = true;
  $("page").hidden = false;
  $("password").value = "";
  connect();
}
$("login").onsubmit = async (event) => {
  event.preventDefault();
  const found = await ask("/api/login", { user: $("user").value, password: $("password").value });
  set("login_told", found.ok ? "" : found.message);
  if (found.ok) enter(found);
};
$("logout").onclick = async () => { await ask("/api/logout", {}); me = null; location.reload(); };
$("act_why").oninput = () => { $("act_go").disabled = !$("act_why").value.trim(); };
$("act").onclose = () => {
  if ($("act").returnValue === "go" && pendingAct && $("act_why").value.trim()) pendingAct($("act_why").value.trim());
  pendingAct = null;
};
for (const name of COMMANDS) {
  const button = element("button", `${T[name]}…`);
  button.id = `command_${name}`;
  button.disabled = true;
  button.onclick = () => {
    const batch_id = shownBatch;  // the one that is shown now, whichever is when it is confirmed
    confirmAct(name, (why) => act("command", { batch_id, command: name, why }, T[name]));
  };
  $("commands").append(button);
}
document.documentElement.lang = french ? "fr" : "en";
for (const each of document.querySelectorAll("[data-t]")) each.textContent = T[each.dataset.t];
ask("/api/me").then((found) => found.user ? enter(found) : showLogin(found.accounts));
