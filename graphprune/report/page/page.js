"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  heads.forEach((head, column) => head.firstElementChild.addEventListener("click", () => {
    const number = head.classList.contains("number");
    const now = head.getAttribute("aria-sort");
    const up = now === "none" ? !number || column === 0 : now === "descending";
    const key = (row) => {
      const cell = row.cells[column];
      return number ? Number(cell.dataset.value) : cell.textContent.trim().toLowerCase();
    };
    const order = (a, b) => (number ? key(a) - key(b) : key(a).localeCompare(key(b), undefined, { numeric: true }));
    const rows = [...body.rows].sort((a, b) => (up ? order(a, b) : order(b, a)));
    heads.forEach((other) => other.setAttribute("aria-sort", "none"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    body.append(...rows);
  }));
}
window.addEventListener("beforeprint", () => {
  for (const folded of document.querySelectorAll("details")) folded.open = true;
});
