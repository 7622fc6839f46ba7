package house

import (
	"go/ast"
	"regexp"
	"strings"
	"testing"
)

// privateWords were names of this project's own where the field has a word, which docs/glossary.md
// names. They do not come back as a part of a name, nor in comments and documents.
var privateWords = map[string]string{
	"bequeath":   "hand over",
	"complain":   "notify",
	"concede":    "accept the peer's",
	"eclipse":    "redundant SA",
	"heir":       "successor",
	"keeper":     "acquire queue",
	"outbox":     "transmit queue",
	"speechless": "cannotSend",
	"starved":    "receive order",
	"strain":     "backlog",
	"twin":       "redundant SA",
	"uprooted":   "localAddressGone",
}

// privateWord finds one of them as a part of a name in mixed caps or as a word of a text, also in
// the plural.
var privateWord = func() *regexp.Regexp {
	var forms []string
	for word := range privateWords {
		forms = append(forms, `\b`+word, strings.ToUpper(word[:1])+word[1:])
	}
	return regexp.MustCompile(`(` + strings.Join(forms, "|") + `)s?(?:\b|[A-Z])`)
}()

// TestPrivateWords holds names, comments and documents to the field's words.
func TestPrivateWords(t *testing.T) {
	for _, f := range sources(t) {
		if f.dir == "internal/house" {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if name, ok := n.(*ast.Ident); ok {
				wantFieldWord(t, f.path, name.Name)
			}
			return true
		})
	}
	for _, text := range append(comments(t), documents(t)...) {
		if !text.turns {
			wantFieldWord(t, text.path, strings.Join(text.lines, "\n"))
		}
	}
}

func wantFieldWord(t *testing.T, path, text string) {
	t.Helper()
	if word := privateWordIn(text); word != "" {
		t.Errorf("%s: %q does not come back: the field says %q", path, word, privateWords[word])
	}
}

// privateWordIn returns the first private word of a name or a text, or nothing.
func privateWordIn(text string) string {
	if found := privateWord.FindStringSubmatch(text); found != nil {
		return strings.ToLower(found[1])
	}
	return ""
}

func TestPrivateWordIn(t *testing.T) {
	for text, want := range map[string]string{
		"latestHeir":             "heir",
		"heirs":                  "heir",
		"twinOfSA":               "twin",
		"their":                  "",
		"constrain":              "",
		"the heir of an IKE SA":  "heir",
		"successorSA":            "",
		"bookkeeper":             "",
		"moved to the outbox of": "outbox",
		"IKEOutbox":              "outbox",
		"heirOf":                 "heir",
	} {
		if got := privateWordIn(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
