/** The race: four lanes over one time axis, a dot for each frame that arrived. */

const SVG = "http://www.w3.org/2000/svg";
const STEPS = [0.5, 1, 2, 3, 5, 10, 20, 30, 60, 120, 300, 600, 1200]; // seconds on the axis
const TICKS = 5;

export const seconds = (milliseconds) => (milliseconds < 1000
  ? `${milliseconds.toFixed(0)} ms` : `${(milliseconds / 1000).toFixed(1)} s`);

export class Lane {
  /** `words(lane)` says in words what happened, once the lane has ended. */
  constructor(race, name, words) {
    const root = document.getElementById("lane").content.cloneNode(true).firstElementChild;
    this.race = race;
    this.name = name;
    this.inWords = words;
    this.root = root;
    this.track = root.querySelector(".track");
    this.words = root.querySelector(".words");
    root.querySelector(".name").textContent = name;
    race.add(this);
    this.reset();
    this.running = false;
  }

  /** A new request starts at the left edge. */
  reset() {
    this.began = performance.now();
    this.frames = 0;
    this.accepted = undefined;
    this.first = undefined;
    this.whole = undefined;
    this.marks = [];
    this.running = true;
    this.track.replaceChildren();
    this.track.setAttribute("aria-label", `${this.name}: no frame yet`);
    this.words.textContent = "";
    this.words.className = "words";
  }

  get now() { return performance.now() - this.began; }

  /** One frame arrived. */
  frame() {
    this.frames += 1;
    this.mark("circle", { cy: "50%", r: 4, class: "frame" }, "cx");
    this.track.setAttribute("aria-label", `${this.name}: ${this.frames} frames`);
  }

  /** The service has taken the request and will answer later. */
  accept() {
    this.accepted ??= this.now;
  }

  /** The first words that a person can read are here. */
  readable() {
    if (this.first !== undefined) return;
    this.first = this.now;
    this.mark("rect", { y: "8%", height: "84%", width: 3, class: "first" }, "x");
  }

  /** The request ended; `problem` says in words what went wrong. */
  end(problem) {
    this.whole = this.now;
    this.running = false;
    this.words.textContent = problem ?? this.inWords(this);
    this.words.className = problem ? "words bad" : "words";
    this.failed = Boolean(problem);
    this.race.draw();
  }

  mark(shape, attributes, across) {
    const element = document.createElementNS(SVG, shape);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    this.marks.push({ element, across, at: this.now });
    this.track.append(element);
    this.race.draw();
  }
}

export class Race {
  constructor(lanes, axis) {
    this.place = lanes;
    this.axis = axis;
    this.lanes = [];
    this.width = 1;
  }

  add(lane) {
    this.lanes.push(lane);
    this.place.append(lane.root);
  }

  /** Once for each drawn picture of the browser, however many frames arrived. */
  draw() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.place_marks();
      if (this.lanes.some((lane) => lane.running)) this.draw();
    });
  }

  place_marks() {
    const ends = this.lanes.map((lane) => (lane.running ? lane.now : lane.whole ?? 0));
    const longest = Math.max(...ends) / 1000;
    const width = STEPS.find((step) => step >= longest) ?? Math.ceil(longest);
    const changed = width !== this.width || !this.axis.childElementCount;
    this.width = width;
    if (changed) this.draw_axis();
    for (const lane of this.lanes) {
      for (const mark of lane.marks) {
        if (mark.width === width) continue;
        mark.width = width;
        // The last hundredth is left free, so that a dot at the right end is whole.
        mark.element.setAttribute(mark.across, `${mark.at / width / 1000 * 98 + 0.7}%`);
      }
    }
  }

  draw_axis() {
    const ticks = Array.from({ length: TICKS + 1 }, (_, tick) => {
      const label = document.createElement("span");
      label.textContent = `${Number((this.width * tick / TICKS).toFixed(2))} s`;
      return label;
    });
    this.axis.replaceChildren(...ticks);
  }
}
