package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

func TestSend(t *testing.T) {
	var got []string
	f := New(roundTrip(func(r *http.Request) (*http.Response, error) {
		body := ""
		if r.Body != nil {
			b, _ := io.ReadAll(r.Body)
			body = string(b)
		}
		got = append(got, fmt.Sprint(r.Method, " ", r.URL, " ", r.Header.Get("Content-Type"), " ", body))
		switch r.URL.Path {
		case "/error":
			return nil, errors.New("a\n" + strings.Repeat("b", 300))
		case "/home", "/loop":
			resp := response(302, nil)
			resp.Header.Set("Location", map[string]string{"/home": "/end", "/loop": "/loop"}[r.URL.Path])
			return resp, nil
		case "/away":
			resp := response(301, nil)
			resp.Header.Set("Location", "http://b/end")
			return resp, nil
		case "/file":
			resp := response(301, nil)
			resp.Header.Set("Location", "ftp://a/end")
			return resp, nil
		case "/busy":
			return response(503, nil), nil
		}
		return response(200, []byte("12345")), nil
	}))
	for _, c := range []struct {
		call call
		want string // the error
		seen string // the requests
	}{
		{call{url: "http://a/end", limit: 5}, "", "GET http://a/end  "},
		{call{url: "http://a/end", limit: 5, body: []byte("q")}, "", "POST http://a/end application/ocsp-request q"},
		{call{url: "http://a/end", limit: 4}, "the answer has more than 4 octets", "GET http://a/end  "},
		{call{url: "http://a/home", limit: 5}, "", "GET http://a/home  , GET http://a/end  "},
		{call{url: "http://a/loop"}, "it redirects too often", "GET http://a/loop  , GET http://a/loop  , GET http://a/loop  "},
		{call{url: "http://a/away"}, "it redirects to another host", "GET http://a/away  "},
		{call{url: "http://a/file"}, "the URL is not one of HTTP", "GET http://a/file  "},
		{call{url: "http://a/busy"}, "the server answers with status 503", "GET http://a/busy  "},
		{call{url: "http://a/error"}, `a\n` + strings.Repeat("b", maxText-3) + "...", "GET http://a/error  "},
		{call{url: "file:///etc/passwd"}, "the URL is not one of HTTP", ""},
		{call{url: "http://"}, "the URL does not name a host alone", ""},
		{call{url: "http://u:p@a/"}, "the URL does not name a host alone", ""},
		{call{url: "http://a/\x00"}, "the URL is malformed", ""},
		{call{url: "http://a/" + strings.Repeat("x", maxURL)}, "the URL has more than 1024 octets", ""},
	} {
		got = nil
		text := ""
		data, err := f.send(t.Context(), c.call)
		if err != nil {
			text = err.Error()
		} else if string(data) != "12345" {
			t.Errorf("%s: %q", c.call.url, data)
		}
		if seen := strings.Join(got, ", "); text != c.want || seen != c.seen {
			t.Errorf("%.80s: %q, requests %q\nwant %q, requests %q", c.call.url, text, seen, c.want, c.seen)
		}
	}
	if len(f.limits.hosts) != 0 {
		t.Errorf("%d hosts are left", len(f.limits.hosts))
	}
}

func TestMayReach(t *testing.T) {
	avoid := netip.MustParsePrefix("10.2.0.0/16").Contains
	for address, ok := range map[string]bool{
		"192.0.2.1:80": true, "10.1.0.1:80": true, "[2001:db8::1]:80": true,
		"10.2.0.1:80": false, "[::ffff:10.2.0.1]:80": false,
		"127.0.0.1:80": false, "[::1]:80": false, "[::ffff:127.0.0.1]:80": false, "169.254.169.254:80": false, "[fe80::1%1]:80": false,
		"0.0.0.0:80": false, "224.0.0.1:80": false, "x": false,
	} {
		if err := mayReach(address, avoid); (err == nil) != ok {
			t.Errorf("%s: %v", address, err)
		}
	}
	if err := mayReach("10.2.0.1:80", nil); err != nil {
		t.Error(err)
	}
	err := mayReach("10.2.0.1:80", avoid)
	if want := "10.2.0.1 is in the networks of the peer, which cannot be reached without its tunnel; set crl to a file, or list the address in bypass"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// The transport of production asks mayReach before it sends anything.
func TestNetwork(t *testing.T) {
	ctx := context.WithValue(t.Context(), avoidKey{}, netip.MustParsePrefix("192.0.2.0/24").Contains)
	for address, want := range map[string]string{
		"http://127.0.0.1:9/": "127.0.0.1 is an address of this host",
		"http://192.0.2.7:9/": "192.0.2.7 is in the networks of the peer",
	} {
		_, err := New(Network(nil)).send(ctx, call{url: address, limit: 1})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestPlain(t *testing.T) {
	if got := plain(&url.Error{Op: "Get", URL: "http://secret/", Err: errors.New("no\x1b[1m route")}); got != `no\x1b[1m route` {
		t.Error(got)
	}
}
