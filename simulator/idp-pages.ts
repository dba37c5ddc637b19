/**
 * The identity provider's two pages: who are you, and do you want to leave.
 */

import { html, page } from './html.ts'

/** A form that posts to where it was shown. `problem` is announced to screen readers. */
export const signInPage = (problem = ''): string =>
  page(
    'Sign in',
    html`<main>
      <h1>Sign in</h1>
      <p class="note">The identity provider of the simulator. Everything stays on this machine.</p>
      ${problem === '' ? [] : html`<p class="problem" role="alert">${problem}</p>`}
      <form class="box" method="post">
        <label for="name">Name</label>
        <input id="name" name="name" autocomplete="username" required autofocus />
        <label for="password">Password</label>
        <input
          id="password"
          name="password"
          type="password"
          autocomplete="current-password"
          required
        />
        <button type="submit">Sign in</button>
      </form>
    </main>`,
  )

/** @param form oidc-provider's own form, `op.logoutForm`, with its token against forgery. */
export const signOutPage = (form: string): string =>
  page(
    'Sign out',
    html`<main>
      <h1>Sign out</h1>
      <p>You are about to sign out of the identity provider as well.</p>
      ${{ markup: form }}
      <button type="submit" form="op.logoutForm" name="logout" value="yes" autofocus>
        Sign out
      </button>
      <button class="quiet" type="submit" form="op.logoutForm">Stay signed in there</button>
    </main>`,
  )
