// Numbers and times for people.

export function bytes(count: number): string {
  if (count < 1000) return `${count} B`;
  const unit = ["kB", "MB", "GB", "TB"];
  let value = count;
  let at = -1;
  while (value >= 1000 && at < unit.length - 1) {
    value /= 1000;
    at++;
  }
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${unit[at]}`;
}

export function seconds(value: number): string {
  if (value < 10) return `${value.toFixed(1)} s`;
  const whole = Math.round(value);
  if (whole < 60) return `${whole} s`;
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), whole % 60];
  return hours ? `${hours} h ${minutes} min` : rest ? `${minutes} min ${rest} s` : `${minutes} min`;
}

export function count(value: number, one: string, many = `${one}s`): string {
  return `${value.toLocaleString("en")} ${value === 1 ? one : many}`;
}

const moment = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });
const today = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });

/** The reader's own time; the day only if it is another one. */
export function time(rfc3339: string): string {
  const at = new Date(rfc3339);
  if (Number.isNaN(at.getTime())) return rfc3339;
  return (at.toDateString() === new Date().toDateString() ? today : moment).format(at);
}

/** Random, for `Idempotency-Key`; `crypto.randomUUID` is missing where the page came over plain HTTP. */
export function randomKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
