// Parts of a page that change while it is looked at: elements with data-live get what the server sends there. What comes
// was escaped by the server. Without scripts the page shows what was the case when it was loaded.
'use strict';
for (const part of document.querySelectorAll('[data-live]')) {
  const source = new EventSource(part.dataset.live);
  const state = document.getElementById(part.dataset.state);
  let last = null;
  source.addEventListener('message', (event) => {
    // What somebody reads or has the focus on is not taken away while it says the same.
    if (event.data !== last) part.innerHTML = event.data;
    last = event.data;
    if (state) state.textContent = 'live';
  });
  source.addEventListener('done', () => { source.close(); location.reload(); });
  source.addEventListener('error', () => { if (state) state.textContent = 'connecting again'; });
}
