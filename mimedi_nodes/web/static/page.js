// SPDX-License-Identifier: Apache-2.0
// The operator's page: shows what the stream tells, sends acts; everything from outside is set as text, never as markup.
import { draw } from "/static/curves.js";
import { T, consequence, french, hours, humane, number, powers } from "/static/words.js";

const COMMANDS = ["pause", "resume", "hold", "restart", "stop", "abort"];
const HELD = ["pausing", "paused", "holding", "held"], BAD = ["stopping", "stopped", "aborting", "aborted"];
const MARK = { high: "■", medium: "▲", low: "▼" };
const SILENT_MS = 15000;  // the server tells something every ten seconds at least
const $ = (id) => document.getElementById(id);
let me = null, socket = null, shown = null, shownCurves = "", wanted = "", heard = 0, isLost = false, pendingAct = null;

function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}
function set(id, text) { if ($(id).textContent !== text) $(id).textContent = text; }
async function ask(path, body) {
  const options = body === undefined ? {} :
    { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  let reply, found;
  try {
    reply = await fetch(path, options);
    found = await reply.json();
  } catch (error) {
    return { ok: false, message: T.no_answer };
  }
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
  set("act_text", consequence(name));
  set("act_go", T[name]);
  $("act_why").value = "";
  $("act_go").disabled = true;
  $("act").showModal();
  $("act_why").focus();
}

// -- what the stream tells --------------------------------------------------------------------------------
function show(state) {
  heard = Date.now();
  shown = state;
  setLost(false);
  const batch = state.batch;
  const word = !state.coordinator ? T.no_coordinator : batch === null ? T.no_batch : batch.state.toUpperCase();
  set("state", word);
  $("state").className = !state.coordinator ? "far held" : batch && HELD.includes(batch.state) ? "far held" :
    batch && BAD.includes(batch.state) ? "far bad" : "far";
  $("batch").classList.toggle("stale", !state.coordinator);
  const several = Object.keys(state.batches).length > 1;
  set("identity", batch ? [several ? "" : batch.batch_id, batch.recipe].filter(Boolean).join("  ·  ") : "");
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
  enable();
  const key = JSON.stringify(state.curves);
  if (key !== shownCurves) { shownCurves = key; showCurves(); }
}
function shownBatch() { return shown && shown.batch ? shown.batch.batch_id : ""; }
function showChoice(state) {
  const names = Object.keys(state.batches);
  $("choice").hidden = names.length < 2;
  const key = JSON.stringify([state.batches, shownBatch()]);
  if ($("choice").dataset.key !== key && document.activeElement !== $("choice")) {
    $("choice").dataset.key = key;
    $("choice").replaceChildren(...names.map((name) => {
      const option = element("option", `${name}  ·  ${state.batches[name].toUpperCase()}`);
      option.value = name;
      option.selected = name === shownBatch();
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
  const key = prompt ? JSON.stringify([prompt.batch_id, prompt.prompt_id, prompt.batch_id === shownBatch()]) : "";
  $("prompt").hidden = !prompt;
  if ($("prompt").dataset.key === key) return;
  $("prompt").dataset.key = key;
  $("answers").replaceChildren();
  if (!prompt) return;
  set("question", prompt.batch_id === shownBatch() ? prompt.question : `${prompt.batch_id}: ${prompt.question}`);
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
    tile.append(element("div", humane(module.module), "small"));
    const word = module.state ? module.state + (module.stale ? "?" : "") : T.no_data;
    const held = ["HELD", "HOLDING", "PAUSED", "PAUSING"].includes(module.state) && !module.stale;
    const bad = ["ABORTED", "ABORTING", "STOPPING"].includes(module.state) && !module.stale;
    tile.append(element("b", word, held ? "held" : bad ? "bad" : ""));
    tile.append(element("div", module.action.replace(/([a-z])([A-Z])/g, "$1\u200b$2")));  // may be parted there
    tile.append(element("div", (held || bad) && module.last_error || module.step, "small"));
    return tile;
  }));
}
function showAlarms(state) {
  const key = JSON.stringify([state.supervisor, state.alarms]);
  if ($("alarms").dataset.key === key) return;
  $("alarms").dataset.key = key;
  const waiting = state.alarms.filter((alarm) => alarm.waits).length;
  const count = T.count.replace("{all}", state.alarms.length).replace("{waiting}", waiting);
  set("alarm_count", state.supervisor && state.alarms.length ? count : "");
  if (!state.supervisor) { $("alarms").replaceChildren(element("b", T.not_watched, "held")); return; }
  if (!state.alarms.length) { $("alarms").replaceChildren(element("span", T.no_alarms)); return; }
  $("alarms").replaceChildren(...state.alarms.map((alarm) => {
    const row = element("div", undefined, alarm.waits ? "alarm waits" : "alarm");
    const mark = element("span", MARK[alarm.priority], `mark ${alarm.waits ? alarm.priority : "quiet"}`);
    mark.title = T[alarm.priority];
    const text = element("div");
    text.append(element("b", alarm.message || alarm.alarm_id));
    text.append(element("div", alarm.response));
    text.append(element("div", `${alarm.alarm_id}  ·  ${T[alarm.state.toLowerCase()] ?? alarm.state}`, "small"));
    row.append(mark, text);
    const offer = (name, body) => {
      const button = element("button", T[name]);
      const run = (why) => act("alarm", { alarm_id: alarm.alarm_id, act: name, why, ...body }, alarm.alarm_id);
      button.onclick = () => consequence(name) ? confirmAct(name, run) : run("");
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
  if (!curves.ok) { shownCurves = ""; return; }  // asked again at the next word
  const list = Object.keys(curves).filter((k) => k !== "ok").map((k) => curves[k]);
  const drawn = list.filter((c) => c.values.some((v) => v !== null)).map(draw);
  $("trends").replaceChildren(...(drawn.length ? drawn : [element("span", T.no_trends)]));
}

// -- what can be asked now, and why not -------------------------------------------------------------------
function whyNoCommand(name) {
  if (isLost) return T.why_lost;
  if (!shown.coordinator) return T.why_no_coordinator;
  if (!me.acts.includes("command")) return T.why_role;
  if (!shown.batch) return T.why_no_batch;
  return shown.allowed.includes(name) ? "" : T.why_state.replace("{state}", shown.batch.state.toUpperCase());
}
function whyNoAnswer() {
  if (isLost) return T.why_lost;
  if (!shown.coordinator) return T.why_no_coordinator;
  return me.acts.includes("answer") ? "" : T.why_role;
}
function enable() {
  if (!shown || !me) return;
  for (const name of COMMANDS) {
    const why = whyNoCommand(name), button = $(`command_${name}`);
    button.disabled = why !== "";
    button.title = why || consequence(name);
  }
  const why = whyNoAnswer();
  for (const each of $("answers").children) { each.disabled = why !== ""; each.title = why; }
  set("prompt_why", why);  // in words too: a tablet has no tooltips
  $("prompt_why").hidden = !why;
  for (const each of $("alarms").querySelectorAll("button")) { each.disabled = isLost; each.title = isLost ? T.why_lost : ""; }
  $("act_go").disabled = isLost || !$("act_why").value.trim();
}
function setLost(lost) {
  if (lost === isLost) return;
  isLost = lost;
  document.body.classList.toggle("lost", lost);
  $("lost").hidden = !lost;
  if (lost) set("lost", `⚠ ${T.lost} ${heard ? new Date(heard).toLocaleTimeString(french ? "fr" : "en-GB") : "–"}`);
  enable();
}

// -- the connection and the person ------------------------------------------------------------------------
function connect() {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  socket = new WebSocket(`${scheme}://${location.host}/ws`);
  socket.onopen = () => { if (wanted) socket.send(wanted); };
  socket.onmessage = (event) => show(JSON.parse(event.data));
  socket.onclose = (event) => {
    setLost(true);
    if (event.code === 4401) { me = null; showLogin(true); return; }
    setTimeout(() => me && connect(), 2000);
  };
}
setInterval(() => { if (me && heard && Date.now() - heard > SILENT_MS) setLost(true); }, 1000);

function showLogin(accounts) {
  if (socket) { socket.onclose = null; socket.close(); socket = null; }
  $("page").hidden = true;
  $("login").hidden = false;
  $("password_row").hidden = !accounts;
  $("user").focus();
}
function enter(found) {
  me = found;
  set("who", me.roles.length ? `${me.name} (${me.roles.join(", ").replaceAll("_", " ")})` : me.name);
  $("login").hidden = true;
  $("page").hidden = false;
  $("password").value = "";
  $("alarms").dataset.key = "";  // what is offered goes by who looks
  connect();
}
$("login").onsubmit = async (event) => {
  event.preventDefault();
  const found = await ask("/api/login", { user: $("user").value, password: $("password").value });
  set("login_told", found.ok ? "" : found.message);
  if (found.ok) enter(found);
};
$("logout").onclick = async () => { await ask("/api/logout", {}); me = null; location.reload(); };
$("act_why").oninput = enable;
$("act").onclose = () => {
  if ($("act").returnValue === "go" && pendingAct && $("act_why").value.trim()) pendingAct($("act_why").value.trim());
  pendingAct = null;
};
for (const name of COMMANDS) {
  const button = element("button", `${T[name]}…`);
  button.id = `command_${name}`;
  button.disabled = true;
  button.onclick = () => {
    const batch_id = shownBatch();  // the one that is shown now, whichever is when it is confirmed
    confirmAct(name, (why) => act("command", { batch_id, command: name, why }, T[name]));
  };
  $("commands").append(button);
}
document.documentElement.lang = french ? "fr" : "en";
for (const each of document.querySelectorAll("[data-t]")) each.textContent = T[each.dataset.t];
ask("/api/me").then((found) => {
  document.title = [T.workcell, found.workcell].filter(Boolean).join(" ");
  for (const each of document.querySelectorAll(".cell")) each.textContent = found.workcell ?? "";
  if (found.user) enter(found); else showLogin(found.accounts);
});
