// The page checks itself: values computed here against the engine's, and backward as well.

/** Compare up to `most` outputs of every step; "worst" is relative to the largest of the step. */
function checkValues(most = 200) {
  return STEPS.map((step) => {
    const n = step.out.data.length, [low, high] = rangeOf(step.out, false);
    const scale = Math.max(Math.abs(low), Math.abs(high), 1e-12);
    let worst = 0, checked = 0, random = 12345;
    for (let k = 0; k < Math.min(most, n); k++) {
      random = (random * 1103515245 + 12345) % 2147483648;
      const made = compute(step, ...step.out.stored(n <= most ? k : random % n));
      if (Number.isNaN(made.value)) continue;
      checked++;
      worst = Math.max(worst, Math.abs(made.difference) / scale);
    }
    return { name: step.name, kind: step.kind, view: step.view, checked, worst };
  });
}

/** Carry all gradients back through all steps, term by term; compare with the engine's. */
function checkGradients() {
  const sums = VALUES.map((value) => new Float64Array(value.data.length));
  const open = new Set();  // values that get gradients in ways which terms do not show
  STEPS.forEach((step) => {
    if (step.out.gradient === null || step.view === "input") return;
    if (step.inputs.includes(step.output)) return;  // nothing is changed: one value
    step.out.data.forEach((_, i) => {
      const made = compute(step, ...step.out.stored(i));
      const dark = !COMPUTE[step.view] || made.rest || Number.isNaN(made.atZ)
        || made.terms.some((t) => t.d === null) || !step.out.isWhole;
      if (dark) step.inputs.forEach((n) => open.add(n));
      else made.terms.forEach((t) => {
        sums[step.inputs[t.input]][step.ins[t.input].index(t.y, t.x, t.c)] += made.atZ * t.d;
      });
    });
  });
  return VALUES.flatMap((value, n) => {
    const used = STEPS.some((s) => s.inputs.includes(n) && s.output !== n);
    if (!used || open.has(n) || !value.gradient) return [];
    const [low, high] = rangeOf(value, true), scale = Math.max(-low, high, 1e-30);
    const worst = value.gradient.reduce((w, g, i) => Math.max(w, Math.abs(g - sums[n][i])), 0);
    return [{ value: n, worst: worst / scale }];
  });
}
