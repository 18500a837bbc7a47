// SPDX-License-Identifier: Apache-2.0
// The page's words in English and French, and numbers as people read them. States of ISA-88 and MTP and identifiers
// stay as they are in every language: the same words stand in the record, on the terminal and in the manual.

const FRENCH = {
  workcell: "Cellule", name: "Nom", password: "Mot de passe", log_in: "Se connecter", log_out: "Se déconnecter",
  day: "jour de procédé", cells: "cellules viables", left: "temps restant prévu", question: "Question", alarms: "Alarmes",
  trends: "Tendances", reason: "Motif", reason_kept: "inscrit au dossier de lot", back: "Retour", no_batch: "AUCUN LOT",
  no_coordinator: "PAS DE COORDINATEUR", no_alarms: "Aucune alarme", not_watched: "ALARMES NON SURVEILLÉES",
  no_data: "SANS DONNÉES", lost: "LIAISON PERDUE : dernier état connu, reçu à", sent: "envoyé …", taken: "accepté",
  refused: "refusé", no_answer: "le serveur de la page ne répond pas", acknowledge: "Acquitter", reset: "Réarmer",
  shelve: "Mettre en attente 1 h", unshelve: "Remettre en service", pause: "Pause", resume: "Reprendre", hold: "Suspendre",
  restart: "Redémarrer", stop: "Arrêter", abort: "Abandonner", phases: "phases", of: "sur", waits: "attend",
  free: "votre réponse", send: "Répondre", count: "{all}, dont {waiting} à traiter", no_trends: "Aucune mesure pour l’instant",
  why_lost: "La liaison est perdue : rien ne peut être envoyé.",
  why_no_coordinator: "Le coordinateur ne répond pas : ni commande ni réponse n’est possible.",
  why_role: "Votre rôle ne le permet pas.", why_state: "Impossible dans l’état {state}.", why_no_batch: "Aucun lot.",
  viable_cells: "cellules viables", liquid_temperature_c: "température du liquide", glucose_mm: "glucose",
  lactate_mm: "lactate", unacknowledged: "non acquittée", acknowledged: "acquittée",
  returned_unacknowledged: "disparue d’elle-même, non acquittée",
  latched_unacknowledged: "cause disparue, mémorisée", latched_acknowledged: "cause disparue, mémorisée, acquittée",
  shelved: "mise en attente", suppressed_by_design: "inhibée par conception", out_of_service: "hors service",
  unit_cells: "cellules", high: "priorité haute", medium: "priorité moyenne", low: "priorité basse",
};
const ENGLISH = {
  workcell: "Workcell", name: "Name", password: "Password", log_in: "Log in", log_out: "Log out", day: "process day",
  cells: "viable cells", left: "expected time left", question: "Question", alarms: "Alarms", trends: "Trends",
  reason: "Reason", reason_kept: "goes into the batch record", back: "Go back", no_batch: "NO BATCH",
  no_coordinator: "NO COORDINATOR", no_alarms: "No alarms", not_watched: "ALARMS NOT WATCHED", no_data: "NO DATA",
  lost: "CONNECTION LOST: last known state, heard at", sent: "sent …", taken: "taken", refused: "refused",
  no_answer: "the page's server does not answer", acknowledge: "Acknowledge", reset: "Reset", shelve: "Shelve 1 h",
  unshelve: "Unshelve", pause: "Pause", resume: "Resume", hold: "Hold", restart: "Restart", stop: "Stop", abort: "Abort",
  phases: "phases", of: "of", waits: "waits", free: "your answer", send: "Answer", count: "{all}, {waiting} wait",
  no_trends: "Nothing measured yet",
  why_lost: "The connection is lost: nothing can be sent.",
  why_no_coordinator: "The coordinator does not answer: no command and no answer is possible.",
  why_role: "Your role does not allow it.", why_state: "Not possible while {state}.", why_no_batch: "No batch.",
  viable_cells: "viable cells", liquid_temperature_c: "liquid temperature", glucose_mm: "glucose", lactate_mm: "lactate",
  unacknowledged: "unacknowledged", acknowledged: "acknowledged",
  returned_unacknowledged: "gone by itself, not acknowledged", latched_unacknowledged: "cause gone, latched",
  latched_acknowledged: "cause gone, latched, acknowledged", shelved: "shelved",
  suppressed_by_design: "suppressed by design", out_of_service: "out of service",
  unit_cells: "cells", high: "high priority", medium: "medium priority", low: "low priority",
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
export const french = navigator.language.toLowerCase().startsWith("fr");
export const T = french ? FRENCH : ENGLISH;

export function consequence(act) { return act in CONSEQUENCE ? CONSEQUENCE[act][french ? 1 : 0] : ""; }
export function humane(identifier) {
  const words = identifier.replaceAll("_", " ").replace(/\bqc\b/, "QC");
  return words.charAt(0).toUpperCase() + words.slice(1);
}
export function number(value, digits) { return value === null ? "–" : value.toFixed(digits); }
export function powers(value) {
  if (value === null) return "–";
  if (value === 0) return "0";
  const [mantissa, exponent] = value.toExponential(2).split("e");
  return `${mantissa} × 10${[..."" + Number(exponent)].map((c) => c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[c]).join("")}`;
}
export function hours(value) {
  if (value === null) return "–";
  const minutes = Math.max(0, Math.round(value * 60));
  if (minutes >= 1440) { const h = Math.round(minutes / 60); return `${Math.floor(h / 24)} d ${h % 24} h`; }
  return minutes >= 60 ? `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")}` : `${minutes} min`;
}
