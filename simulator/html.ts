/**
 * The pages of the demonstration. What a page echoes came from a request, so everything put into a
 * template is escaped; only another template's result goes in as it is.
 */

export interface Html {
  readonly markup: string
}

type Insertion = string | Html | readonly Html[]

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

const markupOf = (insertion: Insertion): string => {
  if (typeof insertion === 'string') return insertion.replace(/[&<>"']/g, c => ESCAPES[c] ?? c)
  return 'markup' in insertion ? insertion.markup : insertion.map(markupOf).join('')
}

/** A template tag: html`<b>${text}</b>` with `text` escaped. */
export const html = (strings: TemplateStringsArray, ...insertions: readonly Insertion[]): Html => ({
  markup: String.raw({ raw: strings }, ...insertions.map(markupOf)),
})

const STYLE: Html = {
  markup: `
    :root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
    body { max-width: 44rem; margin: 3rem auto; padding: 0 1rem }
    h1 { font-size: 1.6rem; margin: 0 } h2 { font-size: 1rem; margin: 2rem 0 .4rem }
    p.note { opacity: .7; margin: .3rem 0 }
    .pill { display: inline-block; padding: .1rem .7rem; margin: 0 .3rem .3rem 0; border-radius: 1rem;
            border: 1px solid; font-size: .9rem }
    table { border-collapse: collapse; width: 100%; font: .85rem/1.5 ui-monospace, monospace }
    td { padding: .3rem .8rem .3rem 0; border-top: 1px solid #8885; overflow-wrap: anywhere;
         vertical-align: top }
    td:first-child { white-space: nowrap; width: 14rem }`,
}

/** A whole document. */
export const page = (title: string, body: Html): string =>
  html`<!doctype html>
    <html lang="en">
      <meta charset="utf-8" />
      <meta name="viewport" content="width=device-width" />
      <title>${title}</title>
      <style>
        ${STYLE}
      </style>
      ${body}
    </html> `.markup
