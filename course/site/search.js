// Stands before the theme's own search, in its worker. For every word of a question the
// theme looks for all words that begin like it: the `i` of "how do I stream" would find
// every page on injection. Words without meaning, as lunr lists them, are left out, unless
// a question has no others.
addEventListener("message", ({ data }) => {
  const QUERY = 2; // the theme's number for a question
  if (data.type !== QUERY) return;
  const words = data.data.split(/\s+/);
  const telling = words.filter((word) => lunr.stopWordFilter(word.toLowerCase()));
  if (telling.join("")) data.data = telling.join(" ");
});
