package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"time"
)

// maxAnswer bounds the octets of an answer: the status of about 100,000 children.
const maxAnswer = 256 << 20

// A Client speaks to the daemon at a control socket.
type Client struct {
	path string
	http http.Client
}

// NewClient returns a client of the socket at path, which connects with the first call. Its methods
// return an *Error if the daemon answered with a failure.
func NewClient(path string) *Client {
	c := &Client{path: path}
	c.http.Transport = &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{Timeout: readTimeout}).DialContext(ctx, "unix", path)
		},
		MaxIdleConns: 1,
	}
	return c
}

// Status returns the status of all peers, or of one if peer is not empty.
func (c *Client) Status(ctx context.Context, peer string) (*Status, error) {
	path := "/v1/status"
	if peer != "" {
		path += "?peer=" + url.QueryEscape(peer)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return get[Status](ctx, c, http.MethodGet, path, nil)
}

// Act performs an action and waits for the outcome, which it returns in words.
func (c *Client) Act(ctx context.Context, a Action, t Target) (string, error) {
	out, err := get[Outcome](ctx, c, http.MethodPost, "/v1/"+string(a), t)
	if err != nil {
		return "", err
	}
	return out.Text, nil
}

// Reload makes the daemon read its files again.
func (c *Client) Reload(ctx context.Context, how ReloadHow) (*Changes, error) {
	return get[Changes](ctx, c, http.MethodPost, "/v1/reload", how)
}

// Explain returns the last failure of a peer in full.
func (c *Client) Explain(ctx context.Context, peer string) ([]string, error) {
	e, err := get[Explanation](ctx, c, http.MethodGet, "/v1/explain?peer="+url.QueryEscape(peer), nil)
	if err != nil {
		return nil, err
	}
	return e.Lines, nil
}

// get sends a request and decodes the answer.
func get[T any](ctx context.Context, c *Client, method, path string, body any) (*T, error) {
	data, err := c.do(ctx, method, path, body)
	if err != nil {
		return nil, err
	}
	value := new(T)
	if err := json.Unmarshal(data, value); err != nil {
		return nil, fmt.Errorf("the daemon at %s gave an invalid answer: %w", c.path, err)
	}
	return value, nil
}

func (c *Client) do(ctx context.Context, method, path string, body any) ([]byte, error) {
	var payload io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		payload = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://culvert"+path, payload)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.explain(ctx, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, c.explain(ctx, err)
	}
	if resp.StatusCode == http.StatusOK {
		return data, nil
	}
	e := &Error{Code: resp.StatusCode}
	if json.Unmarshal(data, e) != nil || e.Text == "" {
		e.Text = fmt.Sprintf("the daemon at %s answered %s", c.path, resp.Status)
	}
	return nil, e
}

// explain converts an error of the connection to one with a remedy.
func (c *Client) explain(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("no culvert daemon listens at %s; start it, or give another socket with --control", c.path)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("permission denied at the control socket %s; run the command as root", c.path)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return fmt.Errorf("the culvert daemon at %s ended before it answered", c.path)
	}
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	return fmt.Errorf("the culvert daemon at %s: %w", c.path, err)
}
