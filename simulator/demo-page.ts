/**
 * The page of the demo application: who you are, what arrived, what a forged request got, what the
 * sidecar counted, and a WebSocket to talk to. The page is complete without its script but for what
 * only a script can do.
 */

import { type Html, html, page } from './html.ts'
import type { Report } from './report.ts'

/** What the page's script sends as its forgery, by header name. */
export const FORGED = {
  'X-Forwarded-User': 'mallory@example.com',
  X_Forwarded_User: 'mallory@example.com',
  'X-Forwarded-Groups': 'admins',
  'X-Amzn-Oidc-Identity': 'mallory',
} as const

const headerTable = ({ arrived }: Report): Html =>
  arrived.length === 0
    ? html`<p class="note">None: whatever was sent has been taken out.</p>`
    : html`<div class="scroll" tabindex="0" role="region" aria-label="Identity headers">
        <table>
          <thead>
            <tr>
              <th scope="col">Name</th>
              <th scope="col">Value</th>
            </tr>
          </thead>
          <tbody>
            ${arrived.map(
              ({ name, value }) =>
                html`<tr>
                  <th scope="row">${name}</th>
                  <td>${value}</td>
                </tr>`,
            )}
          </tbody>
        </table>
      </div>`

const pills = (texts: readonly string[], none: string): Html =>
  texts.length === 0
    ? html`<p class="note">${none}</p>`
    : html`<ul class="pills">
        ${texts.map(text => html`<li>${text}</li>`)}
      </ul>`

/** @param signOutPath Where the sidecar signs out. */
export const renderReport = (report: Report, signOutPath: string): string => {
  const { route, user, email, groups, cookies } = report
  return page(
    `${user ?? 'Nobody'} · demo application`,
    html`<a class="skip" href="#main">Skip to content</a>
      <header>
        <div class="avatar" aria-hidden="true">${(user ?? '?').slice(0, 1).toUpperCase()}</div>
        <h1 id="user">${user ?? 'Nobody'}</h1>
        ${
          user === null
            ? html`<a class="button" href="/">Sign in</a>`
            : html`<a class="button" id="sign-out" href="${signOutPath}">Sign out</a>`
        }
      </header>
      <main id="main">
        <p class="note">
          is who this application believes you are (${route}). It believes every identity header, in
          every spelling; the sidecar decides which ones arrive.
        </p>
        <div class="grid">
          <section aria-labelledby="groups-title">
            <h2 id="groups-title">Your groups</h2>
            <div id="groups">${pills(groups, 'None arrived.')}</div>
            <p class="note">E-mail: ${email ?? 'none'}</p>
          </section>
          <section aria-labelledby="cookies-title">
            <h2 id="cookies-title">Cookies that arrived</h2>
            ${pills(cookies, "None: the load balancer's session stays outside.")}
          </section>
          <section class="wide" aria-labelledby="headers-title">
            <h2 id="headers-title">Identity headers that arrived</h2>
            ${headerTable(report)}
          </section>
          <section class="wide" aria-labelledby="forged-title">
            <h2 id="forged-title">A forged request</h2>
            <p class="note">
              Your browser asks again, and says in headers of its own that it is mallory, in the
              group admins.
            </p>
            <button id="forge" type="button">Send it again</button>
            <output id="forged" for="forge"
              ><noscript
                >This needs a script; with curl: add -H 'X-Forwarded-User: mallory'.</noscript
              >
            </output>
          </section>
          <section aria-labelledby="counters-title">
            <h2 id="counters-title">What the sidecar counted</h2>
            <table>
              <thead>
                <tr>
                  <th scope="col">Counter</th>
                  <th class="number" scope="col">Value</th>
                </tr>
              </thead>
              <tbody id="counters"></tbody>
            </table>
          </section>
          <section aria-labelledby="socket-title">
            <h2 id="socket-title">A WebSocket</h2>
            <form id="talk">
              <label for="message">Say something</label>
              <input id="message" name="message" value="hello" autocomplete="off" />
              <button type="submit">Send</button>
            </form>
            <output id="echo" for="message"></output>
          </section>
        </div>
      </main>
      <footer class="note">
        The demo application of alb-auth-sidecar, on this machine only.
      </footer>`,
    SCRIPT,
  )
}

const SCRIPT = `
  const byId = id => document.getElementById(id)
  const say = (id, text, kind) => { byId(id).className = kind || ''; byId(id).textContent = text }
  const forge = async () => {
    const answer = await fetch('/api/v2/user_profile', { headers: ${JSON.stringify(FORGED)} })
    if (answer.status !== 200) return say('forged', 'Refused: ' + answer.status, 'good')
    const seen = await answer.json()
    const isFooled = /mallory|admins/.test(JSON.stringify(seen))
    say('forged', (isFooled ? 'The application was fooled: ' : 'The application saw ') +
      (seen.user || 'nobody') + ', groups ' + (seen.groups.join(', ') || 'none') +
      (isFooled ? '' : '. Nothing of the forgery arrived.'), isFooled ? 'bad' : 'good')
  }
  const count = async () => {
    const answer = await fetch('/demo/counters')
    if (answer.status !== 200) return
    byId('counters').replaceChildren(...(await answer.json()).map(({ name, value }) => {
      const row = document.createElement('tr')
      const head = row.appendChild(document.createElement('th'))
      head.scope = 'row'
      head.textContent = name
      const cell = row.appendChild(document.createElement('td'))
      cell.className = 'number'
      cell.textContent = value
      return row
    }))
  }
  let socket
  const talk = text => {
    if (socket && socket.readyState === 1) return socket.send(text)
    socket = new WebSocket(location.href.replace(/^http/, 'ws').replace(/[#?].*/, '').replace(/[^/]*$/, '') + 'demo/socket')
    socket.onopen = () => socket.send(text)
    socket.onmessage = ({ data }) => say('echo', data, 'good')
    socket.onerror = () => say('echo', 'No WebSocket.', 'bad')
  }
  byId('forge').addEventListener('click', forge)
  byId('talk').addEventListener('submit', event => { event.preventDefault(); talk(byId('message').value) })
  forge().then(count)
  setInterval(count, 2000)
`
