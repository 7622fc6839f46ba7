package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"syscall"
	"time"
)

// Bounds of a request.
const (
	maxURL       = 1024
	maxRedirects = 2
	maxHeader    = 16 << 10
	maxText      = 160 // of an error
)

// A call is one request: by POST with an OCSP request as its body (RFC 6960, Appendix A), or else
// by GET. A response of more than limit octets is refused.
type call struct {
	url   string
	body  []byte
	limit int64
}

// send makes a request. Redirections lead to the same host.
func (f *Fetcher) send(ctx context.Context, c call) ([]byte, error) {
	u, err := parseURL(c.url)
	if err != nil {
		return nil, err
	}
	leave, err := f.limits.enter(ctx, u.Hostname())
	if err != nil {
		return nil, err
	}
	defer leave()
	method := http.MethodGet
	if c.body != nil {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(c.body))
	if err != nil {
		return nil, errors.New(plain(err))
	}
	if c.body != nil {
		req.Header.Set("Content-Type", "application/ocsp-request")
	}
	return f.receive(req, c.limit)
}

// receive makes the request and returns the body of the response.
func (f *Fetcher) receive(req *http.Request, limit int64) ([]byte, error) {
	resp, err := f.client.Do(req)
	if err == nil {
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("the server answers with status %d", resp.StatusCode)
		}
		var data []byte
		if data, err = io.ReadAll(io.LimitReader(resp.Body, limit+1)); err == nil {
			if int64(len(data)) > limit {
				return nil, fmt.Errorf("the answer has more than %d octets", limit)
			}
			return data, nil
		}
	}
	if req.Context().Err() != nil {
		return nil, errTime
	}
	return nil, errors.New(plain(err))
}

// parseURL returns the URL of a server, which is one of HTTP.
func parseURL(s string) (*url.URL, error) {
	if len(s) > maxURL {
		return nil, fmt.Errorf("the URL has more than %d octets", maxURL)
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return nil, errors.New("the URL is malformed")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("the URL is not one of HTTP")
	case u.Hostname() == "" || u.User != nil:
		return nil, errors.New("the URL does not name a host alone")
	}
	return u, nil
}

// checkRedirect lets a server redirect to itself.
func checkRedirect(req *http.Request, via []*http.Request) error {
	switch {
	case len(via) > maxRedirects:
		return errors.New("it redirects too often")
	case req.URL.Hostname() != via[0].URL.Hostname():
		return errors.New("it redirects to another host")
	}
	_, err := parseURL(req.URL.String())
	return err
}

// plain returns the text of an error without the URL, in which nothing that came from the network
// can do harm.
func plain(err error) string {
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	text := strconv.Quote(err.Error())
	text = text[1 : len(text)-1]
	if len(text) > maxText {
		text = text[:maxText] + "..."
	}
	return text
}

// avoidKey is the key of a context's function that tells which addresses to avoid.
type avoidKey struct{}

// Network returns the transport of a daemon: names are looked up by r, and there are no proxy, no
// connection that is kept, and none to addresses that mayReach forbids.
func Network(r *net.Resolver) http.RoundTripper {
	d := net.Dialer{Resolver: r, ControlContext: func(ctx context.Context, _, address string, _ syscall.RawConn) error {
		avoid, _ := ctx.Value(avoidKey{}).(func(netip.Addr) bool)
		return mayReach(address, avoid)
	}}
	return &http.Transport{
		DialContext: d.DialContext, DisableKeepAlives: true, DisableCompression: true,
		MaxResponseHeaderBytes: maxHeader, TLSHandshakeTimeout: fetchTime, ResponseHeaderTimeout: fetchTime,
		ExpectContinueTimeout: time.Second,
	}
}

// mayReach returns an error for an address of this host or of its link, which a certificate from
// elsewhere has no business with, and for one in the networks of the peer itself: its packets would
// wait for the tunnel, which waits for the answer, and would have it set up again and again.
func mayReach(address string, avoid func(netip.Addr) bool) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	a := ap.Addr().Unmap().WithZone("")
	switch {
	case a.IsLoopback() || a.IsUnspecified() || a.IsMulticast() || a.IsLinkLocalUnicast():
		return fmt.Errorf("%s is an address of this host or of its link, from which nothing is fetched", a)
	case avoid != nil && avoid(a):
		return fmt.Errorf("%s is in the networks of the peer, which cannot be reached without its tunnel; set crl to a file, or list the address in bypass", a)
	}
	return nil
}
