package daemon

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"culvert/ike"
)

// scrapeOf returns the page of metrics of a daemon.
func scrapeOf(d *Daemon) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	metricsServer(d.sample, d.log).Handler.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w
}

func TestMetrics(t *testing.T) {
	d, f, _ := testDaemon(t, peerText("a", "192.0.2.2", "2"), nil)
	established(t, f)
	f.status[0].Held = &ike.Hold{By: "root"}
	w := scrapeOf(d)
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "text/plain; version=0.0.4; charset=utf-8" {
		t.Errorf("got %d, %v", w.Code, w.Header())
	}
	for _, want := range []string{
		"culvert_uptime_seconds 10\n", `culvert_peer_up{peer="a"} 1`, `culvert_peer_state{peer="a",state="established"} 1`, `culvert_child_up{child="lan",peer="a"} 1`,
		`culvert_child_sent_packets_total{child="lan",peer="a"} 4`, `culvert_child_drops_total{child="lan",peer="a",reason="icv"} 5`, `culvert_child_rekeys_total{child="lan",peer="a"} 2`,
		`culvert_events_total{event="both"} 15`, `culvert_child_narrowed{child="lan",peer="a"} 1`, `culvert_child_active{child="lan",peer="a"} 0`,
		`culvert_peer_taken_down{peer="a"} 1`,
	} {
		if !strings.Contains(w.Body.String(), want+"\n") && !strings.HasSuffix(want, "\n") || !strings.Contains(w.Body.String(), want) {
			t.Errorf("no %s in:\n%s", want, w.Body)
		}
	}
	if strings.Contains(w.Body.String(), `reason="replay"`) {
		t.Errorf("a reason that there was not has a line:\n%s", w.Body)
	}
}

// A client that takes gzip gets the page compressed.
func TestCompressedScrape(t *testing.T) {
	d, f, _ := testDaemon(t, peerText("a", "192.0.2.2", "2"), nil)
	established(t, f)
	plain := scrapeOf(d).Body.String()
	for accept, want := range map[string]bool{
		"gzip": true, "deflate, GZIP ;q=0.5": true, "br;q=1, gzip": true, "gzip;q=0": false, "gzip;q=0.000": false, "identity": false, "": false, "x-gzip-not": false, "gzip;q=x": false,
	} {
		w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/metrics", nil)
		r.Header.Set("Accept-Encoding", accept)
		metricsServer(d.sample, d.log).Handler.ServeHTTP(w, r)
		got := w.Body.String()
		if zipped := w.Header().Get("Content-Encoding") == "gzip"; zipped != want {
			t.Errorf("%q: compressed %t, want %t", accept, zipped, want)
			continue
		}
		if want {
			z, err := gzip.NewReader(w.Body)
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(z)
			if err != nil {
				t.Fatal(err)
			}
			got = string(text)
		}
		if got != plain {
			t.Errorf("%q: got\n%s\nwant\n%s", accept, got, plain)
		}
	}
}

// A daemon that is stopping, and one that is asked too often, say so.
func TestRefusedScrapes(t *testing.T) {
	get := func(h http.Handler) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		return w
	}
	stopped := metricsServer(func(context.Context) (*sample, error) { return nil, errors.New("the daemon is stopping") }, slog.Default()).Handler
	if w := get(stopped); w.Code != http.StatusServiceUnavailable || w.Body.String() != "the daemon is stopping\n" {
		t.Errorf("got %d, %s", w.Code, w.Body)
	}

	d, _, _ := testDaemon(t, peerText("a", "192.0.2.2", "2"), nil)
	begun, goOn := make(chan struct{}), make(chan struct{})
	busy := metricsServer(func(ctx context.Context) (*sample, error) {
		begun <- struct{}{}
		<-goOn
		return d.sample(ctx)
	}, slog.Default()).Handler
	codes := make(chan int, maxScrapes)
	for range maxScrapes {
		go func() { codes <- get(busy).Code }()
		<-begun
	}
	if w := get(busy); w.Code != http.StatusServiceUnavailable || w.Body.String() != "too many scrapes at a time\n" {
		t.Errorf("one too many: got %d, %s", w.Code, w.Body)
	}
	close(goOn)
	for range maxScrapes {
		if code := <-codes; code != http.StatusOK {
			t.Errorf("got %d", code)
		}
	}
}
