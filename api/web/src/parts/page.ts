/** What the router shows. */
export interface Page {
  title: string;
  element: HTMLElement;
  /** Ends what goes on beneath it. */
  stop(): void;
}
