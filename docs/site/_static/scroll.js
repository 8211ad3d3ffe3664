// A table wider than the page scrolls, so that the keyboard has to reach it.
for (const table of document.querySelectorAll(".table-wrapper, .cell_output .output:has(> table)"))
  if (table.scrollWidth > table.clientWidth) table.tabIndex = 0;
