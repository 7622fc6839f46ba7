package config

import (
	"slices"
	"strconv"
	"strings"
	"testing"
)

// good is the least valid peer, on lines 1 to 9.
const good = `[[peer]]
name = "right"
remote = "192.0.2.2"
local_id = "left.example.com"
remote_id = "right.example.com"
psk = "correct horse battery staple"
[[peer.child]]
local = ["10.1.0.0/16"]
remote = ["10.2.0.0/16"]
`

const manualGood = `[[peer]]
name = "m"
remote = "192.0.2.2"
[[peer.child]]
local = ["10.1.0.0/16"]
remote = ["10.2.0.0/16"]
manual = { spi_out = "0x1001", key_out = "0x0000000000000000000000000000000000000000", cipher = "aes128gcm16" }
`

// edit replaces the first from in a document, which must be there.
func edit(doc, from, to string) string {
	if !strings.Contains(doc, from) {
		panic(strconv.Quote(from) + " is not in the document")
	}
	return strings.Replace(doc, from, to, 1)
}

func editPeer(from, to string) string   { return edit(good, from, to) }
func editManual(from, to string) string { return edit(manualGood, from, to) }
func withDaemon(key string) string      { return "[daemon]\n" + key + "\n" + good }
func withChild(key string) string       { return good + key + "\n" }

// bad is a document that Load refuses.
type bad struct {
	doc  string
	want []string // a part of each error, in order
}

func testBad(t *testing.T, cases map[string]bad) {
	t.Helper()
	for name, tt := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := loadText(t, tt.doc)
			got := texts(err)
			if len(got) != len(tt.want) {
				t.Fatalf("got %d errors, want %d:\n%s", len(got), len(tt.want), strings.Join(got, "\n"))
			}
			for i := range got {
				if !strings.Contains(got[i], tt.want[i]) {
					t.Errorf("got  %s\nwant %s", got[i], tt.want[i])
				}
			}
			if slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, "0xsecret") || strings.ContainsRune(s, 0x1b) }) {
				t.Errorf("a secret or a control character is in %q", got)
			}
		})
	}
}
