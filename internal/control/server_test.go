package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// fake is a daemon with the peer "right".
type fake struct {
	status Status
	act    func(ctx context.Context, a Action, t Target) (string, error)
}

func (f *fake) Status(context.Context) (*Status, error) {
	st := f.status
	st.Strangers = slices.Clone(st.Strangers)
	return &st, nil
}
func (f *fake) StatusOf(_ context.Context, name string) (*Status, error) {
	if i := slices.IndexFunc(f.status.Peers, func(p Peer) bool { return p.Name == name }); i >= 0 {
		return &Status{Peers: f.status.Peers[i : i+1]}, nil
	}
	return nil, NoPeer(name, []string{"left", "right"}, 2)
}
func (f *fake) Act(ctx context.Context, a Action, t Target) (string, error) {
	return f.act(ctx, a, t)
}
func (f *fake) Reload(_ context.Context, how ReloadHow) (*Changes, error) {
	if how.DryRun || how.Force {
		return &Changes{Summary: fmt.Sprintf("%+v", how)}, nil
	}
	return nil, &Error{Code: http.StatusUnprocessableEntity, Text: "2 errors", Errors: []string{"one", "two"}}
}
func (f *fake) Explain(_ context.Context, peer string) ([]string, error) {
	if peer != "right" {
		return nil, NoPeer(peer, nil, 0)
	}
	return []string{"ours: a", "theirs: b"}, nil
}
func (f *fake) Version() string { return "v1.2.3" }

// serveFake serves f on a socket of its own.
func serveFake(t *testing.T, f *fake) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "run", "c.sock")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(f, slog.New(slog.DiscardHandler))
	done := make(chan error)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		s.Close(ctx)
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
		if _, err := os.Stat(path); err == nil {
			t.Error("the socket is still there")
		}
	})
	return path
}

func request1(t *testing.T, path, method, url, body string) (int, string) {
	t.Helper()
	c := NewClient(path)
	req, err := http.NewRequest(method, "http://x"+url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, strings.TrimSpace(string(data))
}

// TestStatusOfAPeer: with a name, only the status of that peer is asked for.
func TestStatusOfAPeer(t *testing.T) {
	path := serveFake(t, &fake{status: Status{Peers: []Peer{{Name: "left"}, {Name: "right#b"}}}})
	for query, want := range map[string]string{
		"":                "left right#b",
		"?peer=left":      "left",
		"?peer=right%23b": "right#b",
		"?peer=nobody":    "",
	} {
		code, body := request1(t, path, "GET", "/v1/status"+query, "")
		var st Status
		if err := json.Unmarshal([]byte(body), &st); err != nil || (code == http.StatusOK) != (want != "") {
			t.Errorf("%q: code %d, %v", query, code, err)
		}
		var peers []string
		for _, p := range st.Peers {
			peers = append(peers, p.Name)
		}
		if got := strings.Join(peers, " "); got != want {
			t.Errorf("%q: got %s, want %s", query, got, want)
		}
	}
}

func TestBadRequests(t *testing.T) {
	f := &fake{act: func(context.Context, Action, Target) (string, error) { return "", errors.New("broken") }}
	path := serveFake(t, f)
	for _, tt := range []struct {
		method, url, body string
		code              int
		text              string
	}{
		{"GET", "/", "", 404, "there is no GET /"},
		{"GET", "/v1/up", "", 404, "there is no GET /v1/up"},
		{"POST", "/v1/status", "", 404, "there is no POST /v1/status"},
		{"POST", "/v1/up", "", 400, "the body must be"},
		{"POST", "/v1/up", "{}", 400, "the body must be"},
		{"POST", "/v1/up", `{"peer": 3}`, 400, "the body must be"},
		{"POST", "/v1/up", `{"peer": "a", "chidl": "b"}`, 400, "chidl"},
		{"POST", "/v1/up", `{"peer": "a"} {}`, 400, "more than one value"},
		{"POST", "/v1/up", `{"peer": "` + strings.Repeat("x", 1<<20) + `"}`, 413, "at most 65536 octets"},
		{"POST", "/v1/up", `{"peer": "a"}`, 500, "broken"},
		{"POST", "/v1/up", `{"peer": "a", "verify": true}`, 500, "broken"},
		{"POST", "/v1/up", `{"peer": "a", "ike_only": true}`, 500, "broken"},
		{"POST", "/v1/down", `{"peer": "a", "ike_only": true}`, 400, "ike_only goes with up, not with down"},
		{"POST", "/v1/up", `{"peer": "a", "child": "lan", "ike_only": true}`, 400, "ike_only goes with a peer, without a child and without verify"},
		{"POST", "/v1/up", `{"peer": "a", "verify": true, "ike_only": true}`, 400, "ike_only goes with a peer, without a child and without verify"},
		{"POST", "/v1/rekey", `{"peer": "a", "verify": true}`, 400, "verify goes with up, not with rekey"},
		{"POST", "/v1/up", `{"peer": "a", "once": true}`, 400, "once belongs to down"},
		{"POST", "/v1/down", `{"peer": "a", "By": "root"}`, 400, "By"},
		{"GET", "/v1/explain", "", 400, "peer is missing; use /v1/explain?peer=NAME"},
		{"GET", "/v1/explain?peer=%00%1b", "", 404, "there is no peer"},
		{"GET", "/v1/version", "", 200, `{"version":"v1.2.3"}`},
	} {
		code, text := request1(t, path, tt.method, tt.url, tt.body)
		if code != tt.code || !strings.Contains(text, tt.text) || code != 200 && !strings.HasPrefix(text, `{"error":"`) {
			t.Errorf("%s %s %.40q: got %d %s, want %d %s", tt.method, tt.url, tt.body, code, text, tt.code, tt.text)
		}
	}
}

// A client that never reads its answer, however large, does not delay the answers of others.
func TestSlowReadersHoldNothingUp(t *testing.T) {
	f := &fake{status: Status{Peers: []Peer{{Name: strings.Repeat("x", 1<<20)}}}} // more than a socket holds
	path := serveFake(t, f)
	for range 20 {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprint(conn, "GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n")
	}
	idle, err := net.Dial("unix", path) // says nothing at all
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	if st, err := NewClient(path).Status(context.Background(), ""); err != nil || len(st.Peers) != 1 {
		t.Errorf("got %v, want a status", err)
	}
}

func TestACommandThatWaitsIsNotCutOff(t *testing.T) {
	asked, goOn := make(chan bool), make(chan bool)
	f := &fake{act: func(ctx context.Context, _ Action, _ Target) (string, error) {
		close(asked)
		<-goOn
		return "done", ctx.Err()
	}}
	path := serveFake(t, f)
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	body := `{"peer": "right"}`
	fmt.Fprintf(conn, "POST /v1/up HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	<-asked
	close(goOn)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || resp.StatusCode != 200 {
		t.Errorf("got %v, %v", resp, err)
	}
}
