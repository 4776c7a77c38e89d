// A block that is wider than the page can be scrolled with the keyboard, too.
function reachable() {
  for (const code of document.querySelectorAll("pre > code")) {
    if (code.scrollWidth > code.clientWidth) code.tabIndex = 0;
    else code.removeAttribute("tabindex");
  }
}

new ResizeObserver(reachable).observe(document.body);
