package control

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// FuzzRequest sends the API any request. It answers each with JSON, and acts on nothing but a
// command that names a peer.
func FuzzRequest(f *testing.F) {
	for _, seed := range [][3]string{
		{"GET", "/v1/status", ""}, {"GET", "/v1/status?peer=right", ""}, {"GET", "/v1/explain?peer=%00%1b", ""},
		{"POST", "/v1/up", `{"peer": "a", "child": "b", "verify": true}`}, {"POST", "/v1/down", `{"peer": "a", "once": true}`},
		{"POST", "/v1/rekey", `{"peer": "a"} {}`}, {"POST", "/v1/reload", ""}, {"DELETE", "/v1//../up", "{"},
	} {
		f.Add(seed[0], seed[1], []byte(seed[2]))
	}
	var acted *Target
	s := NewServer(&fake{status: Status{Peers: []Peer{{Name: "right"}}}, act: func(_ context.Context, _ Action, t Target) (string, error) {
		acted = &t
		return "", errors.New("broken")
	}}, slog.New(slog.DiscardHandler))
	f.Fuzz(func(t *testing.T, method, target string, body []byte) {
		u, err := url.ParseRequestURI(target)
		if err != nil || !strings.HasPrefix(target, "/") {
			return // the server of net/http refuses it
		}
		r, err := http.NewRequest(method, "http://x/", strings.NewReader(string(body)))
		if err != nil {
			return
		}
		r.URL, r.RequestURI = u, target
		acted = nil
		w := httptest.NewRecorder()
		s.http.Handler.ServeHTTP(w, r)
		if w.Code == http.StatusMovedPermanently || w.Code == http.StatusTemporaryRedirect {
			return // net/http cleans paths
		}
		if !json.Valid(w.Body.Bytes()) || w.Code < 200 || w.Code > 599 {
			t.Fatalf("%s %q: %d %q", method, target, w.Code, w.Body)
		}
		if acted != nil && (acted.Peer == "" || method != "POST") {
			t.Fatalf("%s %q %q acts on %+v", method, target, body, *acted)
		}
	})
}
