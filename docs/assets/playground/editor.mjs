// The module's source in CodeMirror: numbered lines, colours of the site, one line marked as wrong.
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { python } from "@codemirror/lang-python";
import { bracketMatching, indentUnit, syntaxHighlighting } from "@codemirror/language";
import { EditorState, StateEffect, StateField } from "@codemirror/state";
import { Decoration, EditorView, highlightActiveLine, keymap, lineNumbers } from "@codemirror/view";
import { classHighlighter } from "@lezer/highlight";

const blamed = StateEffect.define(); // the number of a line, 0 for none
const WRONG = Decoration.line({ class: "playground-wrong" });

const wrongLine = StateField.define({
  create: () => Decoration.none,
  update(marks, change) {
    marks = change.docChanged ? Decoration.none : marks;
    for (const effect of change.effects) {
      if (!effect.is(blamed)) continue;
      const known = effect.value > 0 && effect.value <= change.state.doc.lines;
      marks = known ? Decoration.set(WRONG.range(change.state.doc.line(effect.value).from)) : Decoration.none;
    }
    return marks;
  },
  provide: (field) => EditorView.decorations.from(field),
});

// An editor in `parent`, named by the element `label`; `changed()` hears of the reader's changes.
export function makeEditor(parent, label, changed) {
  const extensions = [
    lineNumbers(),
    history(),
    bracketMatching(),
    highlightActiveLine(),
    indentUnit.of("    "),
    EditorState.tabSize.of(4),
    python(),
    syntaxHighlighting(classHighlighter),
    keymap.of([{ key: "Mod-Enter", run: () => true }, ...defaultKeymap, ...historyKeymap, indentWithTab]),
    EditorView.contentAttributes.of({ tabindex: "0", "aria-labelledby": label, autocapitalize: "off", spellcheck: "false" }),
    EditorView.updateListener.of((update) => update.docChanged && changed()),
    wrongLine,
  ];
  const fresh = (doc) => EditorState.create({ doc, extensions });
  const view = new EditorView({ parent, state: fresh("") });
  return {
    get text() {
      return view.state.doc.toString();
    },
    set text(doc) {
      view.setState(fresh(doc)); // another history, too: nobody undoes into another section
      view.scrollDOM.scrollTop = 0;
    },
    // Show the first line that matches at the top; without one, the beginning.
    reveal(pattern) {
      const at = view.state.doc.toString().search(pattern);
      const effects = EditorView.scrollIntoView(Math.max(at, 0), { y: "start" });
      view.dispatch({ effects });
    },
    mark: (line) => view.dispatch({ effects: blamed.of(line) }),
    show(number) {
      const line = view.state.doc.line(Math.min(number, view.state.doc.lines));
      view.dispatch({
        selection: { anchor: line.from, head: line.to },
        effects: EditorView.scrollIntoView(line.from, { y: "center" }),
      });
      view.focus();
    },
  };
}
