// Brings what a page shows up to date: fetches the same address again and takes its main part over.
// It never does so under somebody's hands: a selection, an open menu or a field being filled in wait; focus and opened
// details stay where they are. Hidden pages ask nothing.
(() => {
  const every = Number(document.body.dataset.poll) * 1000;
  const stale = document.getElementById("stale");
  const main = () => document.getElementById("main");

  const busy = () => {
    const at = document.activeElement;
    const typing = at && main().contains(at) && /^(INPUT|SELECT|TEXTAREA)$/.test(at.tagName);
    return typing || String(getSelection()) !== "";
  };

  const nameOf = (element) => {
    if (!element || !main().contains(element)) return null;
    if (element.id) return `#${CSS.escape(element.id)}`;
    if (element.tagName === "SUMMARY" && element.parentElement.id) {
      return `#${CSS.escape(element.parentElement.id)} > summary`;
    }
    const address = element.getAttribute("href");
    return address ? `a[href="${CSS.escape(address)}"]` : null;
  };

  const take = (fresh) => {
    const focused = nameOf(document.activeElement);
    for (const each of main().querySelectorAll("details[id]")) {
      const there = fresh.querySelector(`#${CSS.escape(each.id)}`);
      if (there) there.open = each.open;
    }
    main().replaceChildren(...fresh.childNodes);
    if (focused && focused !== "#main") main().querySelector(focused)?.focus({ preventScroll: true });
  };

  const look = async () => {
    if (document.hidden || busy()) return;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, credentials: "same-origin" });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById("main");
      if (!answer.ok || !fresh) throw new Error(String(answer.status));
      if (!busy()) take(fresh);
      stale.hidden = true;
    } catch {
      stale.hidden = false;
    }
  };

  setInterval(look, every);
  document.addEventListener("visibilitychange", look);
})();
