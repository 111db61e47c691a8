// Errors as the server tells them (RFC 9457), and those of the way there.

export class Problem extends Error {
  constructor(
    /** The HTTP status; 0 if there was no answer. */
    readonly status: number,
    /** Stable, for programs. */
    readonly code: string,
    readonly title: string,
    readonly detail: string,
    /** JSON pointer into the body that was sent. */
    readonly pointer: string | null = null,
    readonly requestId: string | null = null,
    /** Seconds after which another try makes sense. */
    readonly retryAfter: number | null = null,
  ) {
    super(detail || title);
  }

  /** Another try of the same request may succeed. */
  get passing(): boolean {
    return this.status === 0 || this.status === 408 || this.status === 429 || this.status >= 500;
  }

  static unreachable(cause: unknown): Problem {
    const why = cause instanceof Error ? cause.message : String(cause);
    return new Problem(0, "unreachable", "The server cannot be reached", why);
  }

  /** Of any error, so that all are shown alike. */
  static of(error: unknown): Problem {
    if (error instanceof Problem) return error;
    return new Problem(0, "page", "Something went wrong in this page", error instanceof Error ? error.message : String(error));
  }
}

export async function problemOf(response: Response): Promise<Problem> {
  const after = Number(response.headers.get("retry-after"));
  const retryAfter = response.headers.has("retry-after") && Number.isFinite(after) ? after : null;
  const kind = response.headers.get("content-type") ?? "";
  const plain = (detail: string) =>
    new Problem(response.status, `http_${response.status}`, `The server answered ${response.status}`, detail, null, response.headers.get("x-request-id"), retryAfter);
  if (!kind.includes("json")) return plain("");
  try {
    const body = (await response.json()) as Record<string, unknown>;
    const text = (name: string) => (typeof body[name] === "string" ? (body[name] as string) : null);
    return new Problem(
      response.status,
      text("code") ?? `http_${response.status}`,
      text("title") ?? `The server answered ${response.status}`,
      text("detail") ?? "",
      text("pointer"),
      text("request_id"),
      retryAfter,
    );
  } catch {
    return plain("its explanation could not be read");
  }
}
