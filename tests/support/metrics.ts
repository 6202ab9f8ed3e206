/** The samples of a scrape: `value("name", { label: "its value" })`. */
export class Scrape {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }

  static async of(request: (path: string) => Promise<Response>): Promise<Scrape> {
    return new Scrape(await (await request("/metrics")).text());
  }

  /** The sum of the series that have these labels; undefined where there is none. */
  value(name: string, labels: Readonly<Record<string, string>> = {}): number | undefined {
    const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
    const values = this.text
      .split("\n")
      .map((line) => /^(?<metric>\w+)(?<labels>\{.*\})? (?<value>\S+)$/.exec(line)?.groups)
      .filter((line) => line?.metric === name && wanted.every((label) => line.labels?.includes(label)))
      .map((line) => Number(line!.value));
    return values.length === 0 ? undefined : values.reduce((sum, value) => sum + value, 0);
  }

  /** The names that have a sample. */
  get names(): Set<string> {
    return new Set([...this.text.matchAll(/^# TYPE (\w+)/gm)].map(([, name]) => name!));
  }
}
