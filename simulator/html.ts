/**
 * The pages of the simulator. What a page echoes came from a request, so everything put into a
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

/** Text at 7:1 or better on its ground, in both schemes; every control shows where the keyboard is. */
const STYLE: Html = {
  markup: `
    :root { color-scheme: light dark; font: 16px/1.55 system-ui, sans-serif;
            --ground: #f4f5f7; --card: #fff; --ink: #16202b; --soft: #414c58; --line: #cfd6dd;
            --accent: #0b4f8a; --on-accent: #fff; --good: #0d5c2e; --bad: #94191a }
    @media (prefers-color-scheme: dark) {
      :root { --ground: #10161c; --card: #18212a; --ink: #eef2f5; --soft: #b9c4ce; --line: #34414d;
              --accent: #8cc4f5; --on-accent: #0b1620; --good: #86dba5; --bad: #ffaba5 } }
    * { box-sizing: border-box }
    body { margin: 0; background: var(--ground); color: var(--ink) }
    header, main, footer { max-width: 60rem; margin: 0 auto; padding: 1.2rem 1rem }
    header { display: flex; flex-wrap: wrap; gap: 1rem; align-items: center }
    header h1 { margin: 0; flex: 1 1 auto }
    h1 { font-size: 1.7rem; line-height: 1.2; margin: .2rem 0 .6rem } h2 { font-size: 1.05rem; margin: 0 0 .6rem }
    a { color: var(--accent) } p { margin: .3rem 0 .7rem } .note { color: var(--soft) }
    .grid { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr)) }
    .wide { grid-column: 1 / -1 }
    section, form.box { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: 1.1rem 1.2rem; min-width: 0 }
    .avatar { width: 3.2rem; height: 3.2rem; border-radius: 50%; background: var(--accent); color: var(--on-accent);
              display: grid; place-items: center; font-size: 1.5rem; font-weight: 600 }
    .pills { list-style: none; margin: 0; padding: 0; display: flex; flex-wrap: wrap; gap: .4rem }
    .pills li { padding: .1rem .7rem; border-radius: 1rem; border: 1px solid var(--line) }
    .scroll { overflow-x: auto }
    table { border-collapse: collapse; width: 100%; font: .85rem/1.5 ui-monospace, monospace }
    th, td { padding: .3rem .8rem .3rem 0; border-top: 1px solid var(--line); text-align: left; vertical-align: top;
             overflow-wrap: anywhere }
    th { white-space: nowrap; font-weight: 600 } thead th { border-top: 0; color: var(--soft) }
    form.box { max-width: 26rem }
    .number { text-align: right; font-variant-numeric: tabular-nums }
    .good { color: var(--good); font-weight: 600 } .bad, .problem { color: var(--bad); font-weight: 600 }
    label { display: block; margin: .7rem 0 .2rem; font-weight: 600 }
    input { width: 100%; font: inherit; padding: .5rem .6rem; border: 1px solid var(--soft); border-radius: .4rem;
            background: var(--card); color: var(--ink) }
    button, a.button { font: inherit; font-weight: 600; display: inline-block; margin-top: .8rem; padding: .5rem 1.1rem;
             border: 1px solid var(--accent); border-radius: .4rem; background: var(--accent); color: var(--on-accent);
             text-decoration: none; cursor: pointer }
    button.quiet { background: transparent; color: var(--accent) }
    header a.button { margin: 0 }
    :focus-visible { outline: 3px solid var(--accent); outline-offset: 2px }
    output { display: block; min-height: 1.6em; margin-top: .6rem; font: .85rem/1.5 ui-monospace, monospace; overflow-wrap: anywhere }
    .skip { position: absolute; left: -99rem } .skip:focus { left: 1rem; top: 1rem; background: var(--card); padding: .5rem }`,
}

/** A whole document. @param script Run at the end of the page; must not hold `</script>`. */
export const page = (title: string, body: Html, script = ''): string =>
  html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>${title}</title>
        <style>
          ${STYLE}
        </style>
      </head>
      <body>
        ${body} ${script === '' ? [] : { markup: `<script>${script}</script>` }}
      </body>
    </html> `.markup
