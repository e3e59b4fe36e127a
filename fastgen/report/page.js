"use strict";
// The browser of failing examples. What models wrote is only ever set as text, never as markup.
const examples = JSON.parse(document.getElementById("examples").textContent);
const filters = ["run", "split", "kind", "transformation"];
const AT_ONCE = 20;
let shown = AT_ONCE;

function choice(name) {
  return document.getElementById("choose-" + name);
}

function element(tag, text, name) {
  const made = document.createElement(tag);
  made.textContent = text;
  if (name) made.className = name;
  return made;
}

function chosen() {
  const wanted = filters.map((name) => [name, choice(name).value]);
  return examples.filter((each) => wanted.every(([name, value]) => !value || each[name] === value));
}

function card(each) {
  const made = element("article", "", "example");
  made.append(element("h3", each.title), element("pre", each.prompt, "rest"));
  const text = element("pre", "");
  text.append(element("span", each.before), element("mark", each.wrong), element("span", each.after, "rest"));
  made.append(text);
  if (each.expected) made.append(element("p", each.expected, "note"));
  return made;
}

function draw() {
  const found = chosen();
  document.getElementById("found").textContent = `${found.length} of ${examples.length} examples`;
  document.getElementById("cards").replaceChildren(...found.slice(0, shown).map(card));
  document.getElementById("more").hidden = found.length <= shown;
}

function options() {
  const asked = new URLSearchParams(location.hash.slice(1)); // report.html#kind=copy: a link to a choice
  for (const name of filters) {
    const select = choice(name);
    const values = [...new Set(examples.map((each) => each[name]))].filter((value) => value).sort();
    for (const value of values) select.append(new Option(value, value));
    if (values.length < 2) select.parentElement.hidden = true;
    if (values.includes(asked.get(name))) select.value = asked.get(name);
    select.addEventListener("change", () => {
      shown = AT_ONCE;
      const set = filters.filter((filter) => choice(filter).value);
      const hash = new URLSearchParams(set.map((filter) => [filter, choice(filter).value]));
      history.replaceState(null, "", "#" + hash);
      draw();
    });
  }
}

if (examples.length) {
  options();
  document.getElementById("more").addEventListener("click", () => { shown += AT_ONCE; draw(); });
  draw();
}
