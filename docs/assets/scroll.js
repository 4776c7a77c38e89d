// A block that is wider than the page can be scrolled with the keyboard, too.
function reachable() {
  for (const block of document.querySelectorAll("pre > code, .md-typeset__scrollwrap")) {
    if (block.scrollWidth > block.clientWidth) block.tabIndex = 0;
    else block.removeAttribute("tabindex");
  }
}

new ResizeObserver(reachable).observe(document.body);
addEventListener("load", reachable); // tables have got their frames
