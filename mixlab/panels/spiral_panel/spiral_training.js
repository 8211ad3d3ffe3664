// A training in a page without a kernel: it answers the spiral panel's buttons, as Python does in a notebook.

import { quantile, stream } from "../shared/law.js";
import { measured, mixingOf, packed, reachedOf, sizeOf, spirals, unmeasured } from "./spiral_measures.js";
import { PLACES, descend, differentiate, newNet } from "./spiral_net.js";

const [BATCH, STREAMS] = [30, 8]; // points a step; streams of random numbers kept for each seed
const PATIENCE = 20; // milliseconds of work between two looks at the page
const SPEAK = 250; // milliseconds between two lines about a run at work
const MEASURE = 600; // milliseconds between two measurements, which take a quarter of that
const NAMES = ["layer", "alpha", "k", "classes", "epochs", "seed"];
const IDLE = "Choose, and press Start: the net is trained in this page.";
const RECORDED = "Recorded: trained in Python when this page was made. Start trains in this page.";
const SAME_LAWS = "Points, first weights and λs follow the same laws as in Python, but are other draws.";

function shuffled(count, random) {
  const order = Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i -= 1) {
    const j = Math.floor(random() * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

/** Trains a batch at a time: yields the epoch after each, and what is measured where `due()`, or at the end. */
function* training({ alpha, classes, epochs, k, seed }, { train, test }, places, due) {
  const [first, order, mixing] = [2, 3, 4].map((which) => stream(STREAMS * seed + which));
  const net = newNet(classes, first);
  const perEpoch = Math.floor(train.labels.length / BATCH);
  const partner = Array.from({ length: BATCH }, (_, i) => (i + BATCH - 1) % BATCH); // the order is random already
  for (let epoch = 0; epoch < epochs; epoch += 1) {
    const chosen = shuffled(train.labels.length, order);
    for (let batch = 0; batch < perEpoch; batch += 1) {
      const rows = chosen.slice(batch * BATCH, (batch + 1) * BATCH);
      const x = Float64Array.from({ length: 2 * BATCH }, (_, i) => train.points[2 * rows[i >> 1] + (i % 2)]);
      const y = rows.map((row) => train.labels[row]);
      const place = places[Math.floor(mixing() * places.length)];
      const lam = Float64Array.from({ length: k * BATCH }, () => quantile(alpha, mixing()));
      differentiate(net, x, y, places.length ? { place, partner, lam } : null);
      descend(net, epoch * perEpoch + batch, epochs * perEpoch);
      yield { epoch: epoch + (batch + 1) / perEpoch };
    }
    if (epoch + 1 === epochs || due()) yield { epoch: epoch + 1, record: yield* measured(net, train, test, classes) };
  }
}

/** Where a choice of the menu mixes, as places of the net. */
function placesOf(layer, layers) {
  if (layer === "none") return [];
  const names = layer === "random" ? layers.random.split(": ")[1].split(", ") : [layer];
  return names.map((name) => PLACES.indexOf(name));
}

function statusOf({ phase, epoch, settings: { epochs }, seconds }) {
  const of = `epoch ${epoch.toFixed(2)} of ${epochs}`;
  if (phase === "training") return `Training in this page: ${of}.`;
  if (phase === "paused") return `Paused at ${of}.`;
  if (phase === "stopped") return `Stopped at ${of}; what was measured until then is kept.`;
  return `Finished: ${epochs} epochs in ${seconds.toFixed(0)} s, trained in this page. ${SAME_LAWS}`;
}

/** The runs that Python left in the panel, each with its numbers and its bytes. */
function recorded({ runs }, view) {
  let at = view.byteOffset;
  return runs.map((numbers) => {
    const bytes = new Uint8Array(view.buffer, at, sizeOf(numbers));
    at += bytes.length;
    return { numbers, bytes };
  });
}

/** Let a page without a kernel train: answers the buttons that the panel sends. Returns what ends it. */
export function trainHere(model) {
  const [layers, plane] = [model.get("_layers"), model.get("_plane")];
  const now = () => Object.fromEntries(NAMES.map((name) => [name, model.get(name)]));
  const usual = now();
  const points = (count, { classes, seed }, which) =>
    spirals(count, { ...plane, classes }, stream(STREAMS * seed + which));
  const shownOf = ({ settings, train }, record) => {
    const { classes, seed } = settings;
    const reached = record ? reachedOf(record) : "nothing measured yet";
    const said = { name: mixingOf(settings, layers), seed, classes, count: plane.count, reached };
    return {
      numbers: { ...said, values: record?.values ?? null },
      bytes: packed(train, record ?? unmeasured(train, classes)),
    };
  };
  let [timer, job, before] = [0, null, null];

  const say = () => {
    const untrained = () => shownOf({ settings: now(), train: points(plane.count, now(), 0) });
    const shown = [job?.shown ?? untrained(), ...(before ? [before] : [])];
    const bytes = new Uint8Array(shown.reduce((sum, run) => sum + run.bytes.length, 0));
    shown.reduce((at, run) => (bytes.set(run.bytes, at), at + run.bytes.length), 0);
    model.set("_pictures", new DataView(bytes.buffer));
    model.set("_view", {
      phase: job?.phase ?? "idle",
      settings: job?.settings ?? {},
      status: job ? (job.status ?? statusOf(job)) : IDLE,
      alert: "",
      progress: job ? job.epoch / job.settings.epochs : 0,
      runs: shown.map((run) => run.numbers),
    });
  };

  const work = () => {
    const began = performance.now();
    let news = false;
    while (performance.now() - began < PATIENCE) {
      const { value, done } = job.steps.next();
      if (value?.epoch) job.epoch = value.epoch;
      if (value?.record) {
        job.shown = shownOf(job, value.record);
        job.measuredAt = performance.now();
        news = true;
      }
      if (done) job.phase = "finished";
      if (done) break;
    }
    job.seconds += (performance.now() - began) / 1000;
    if (job.phase === "training") timer = setTimeout(work, 0);
    if (news || job.phase === "finished" || performance.now() - job.saidAt > SPEAK) {
      job.saidAt = performance.now();
      say();
    }
  };

  const rest = (phase) => {
    clearTimeout(timer);
    if (job) job.phase = phase;
  };
  const commands = {
    start() {
      rest("stopped");
      if (job?.shown.numbers.values) before = job.shown;
      const settings = now();
      job = { settings, phase: "training", epoch: 0, seconds: 0, measuredAt: 0, saidAt: 0 };
      job.train = points(plane.count, settings, 0);
      job.shown = shownOf(job);
      const test = points(plane.tested, settings, 1);
      const due = () => performance.now() - job.measuredAt > MEASURE;
      job.steps = training(settings, { train: job.train, test }, placesOf(settings.layer, layers), due);
      timer = setTimeout(work, 0);
    },
    pause: () => rest("paused"),
    resume() {
      job.phase = "training";
      timer = setTimeout(work, 0);
    },
    stop: () => rest("stopped"),
    reset() {
      rest("stopped");
      [job, before] = [null, null];
      for (const name of NAMES) model.set(name, usual[name]);
    },
  };
  const obey = ({ command, state }) => {
    for (const [name, value] of Object.entries(state)) model.set(name, value);
    commands[command]();
    say();
  };
  const idle = () => {
    if (!job) say();
  };
  const made = model.get("_view");
  if (made.runs[0].values) {
    const [latest, earlier] = recorded(made, model.get("_pictures"));
    job = { settings: made.settings, phase: "finished", epoch: made.settings.epochs, shown: latest, status: RECORDED };
    before = earlier ?? null;
  }
  say();
  const events = [["sent", obey], ...NAMES.map((name) => [`change:${name}`, idle])];
  for (const [event, hear] of events) model.on(event, hear);
  return () => {
    clearTimeout(timer);
    for (const [event, hear] of events) model.off(event, hear);
  };
}
