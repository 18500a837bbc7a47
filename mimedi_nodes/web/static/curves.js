// SPDX-License-Identifier: Apache-2.0
// A curve as an SVG: its last value with its unit above, the ends of its scale beside it, its days below.
import { T, humane, powers } from "/static/words.js";

const SPACE = "http://www.w3.org/2000/svg", LEFT = 10, RIGHT = 306, TOP = 30, BOTTOM = 102;

export function draw(curve) {
  const log = curve.name.endsWith("cells");
  const points = curve.days.map((d, i) => [d, curve.values[i]]).filter(([, v]) => v !== null && (!log || v > 0));
  const ys = points.map(([, v]) => log ? Math.log10(v) : v);
  const low = Math.min(...ys), high = Math.max(...ys), first = points[0][0], last = points[points.length - 1][0];
  const x = (d) => LEFT + (RIGHT - LEFT) * (last > first ? (d - first) / (last - first) : 0.5);
  const y = (v) => BOTTOM - (BOTTOM - TOP) * (high > low ? ((log ? Math.log10(v) : v) - low) / (high - low) : 0.5);
  const svg = document.createElementNS(SPACE, "svg");
  svg.setAttribute("viewBox", "0 0 400 130");
  const line = document.createElementNS(SPACE, "polyline");
  line.setAttribute("points", points.map(([d, v]) => `${x(d).toFixed(1)},${y(v).toFixed(1)}`).join(" "));
  svg.append(line);
  const say = (text, left, top, anchor, strong) => {
    const made = document.createElementNS(SPACE, "text");
    made.setAttribute("x", left); made.setAttribute("y", top); made.setAttribute("text-anchor", anchor);
    if (strong) made.setAttribute("class", "value");
    made.textContent = text;
    svg.append(made);
  };
  // As many decimals as tell the two ends of the scale apart.
  const digits = high > low && !log ? Math.min(4, Math.max(1, Math.ceil(0.3 - Math.log10(high - low)))) : 1;
  const short = (v) => Math.abs(v) >= 1e5 ? powers(v) : v.toFixed(digits);
  const unit = T[`unit_${curve.unit}`] ?? curve.unit;
  const title = `${humane(curve.module)} · ${T[curve.name] ?? humane(curve.name)}`;
  say(title, LEFT, 17, "start");
  say(`${short(points[points.length - 1][1])} ${unit}`, 392, 17, "end", true);
  say(short(log ? 10 ** high : high), 392, TOP + 8, "end");
  if (high > low) say(short(log ? 10 ** low : low), 392, BOTTOM, "end");
  say(`${T.day} ${first.toFixed(1)} – ${last.toFixed(1)}`, LEFT, 124, "start");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `${title} ${short(points[points.length - 1][1])} ${unit}`);
  return svg;
}
