/** One measured figure and what it should be. */
export interface Figure {
  readonly name: string;
  readonly measured: string;
  /** Such as `<= 2`; absent for what only explains another. */
  readonly target?: string;
  readonly met?: boolean;
}

const compare = { "<=": (a: number, b: number) => a <= b, ">=": (a: number, b: number) => a >= b };

/** @param digits after the decimal point. */
export function figure(
  name: string,
  value: number,
  unit: string,
  target?: readonly ["<=" | ">=", number],
  digits = 2,
): Figure {
  const measured = `${value.toFixed(digits)}${unit && ` ${unit}`}`;
  if (target === undefined) return { name, measured };
  const [relation, bound] = target;
  return { name, measured, target: `${relation} ${bound}`, met: compare[relation](value, bound) };
}

export function formatFigure({ name, measured, target, met }: Figure): string {
  return `${name}: ${measured}${target === undefined ? "" : ` (${target}, ${met ? "met" : "MISSED"})`}`;
}
