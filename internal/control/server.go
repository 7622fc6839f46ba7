package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"
)

// Bounds on what clients may cost. Each answer is built in memory before it is written, so a slow
// reader occupies only its own buffer.
const (
	maxConnections = 64
	maxBody        = 64 << 10
	maxHeader      = 16 << 10
	readTimeout    = 5 * time.Second
	writeTimeout   = 10 * time.Second
	idleTimeout    = 30 * time.Second
	actTimeout     = 2 * time.Minute // longer than an IKE SA's retransmissions
)

// A Server answers the requests of the API.
type Server struct {
	backend Backend
	http    http.Server
}

// NewServer returns a server of backend. Serve runs it.
func NewServer(backend Backend, log *slog.Logger) *Server {
	s := &Server{backend: backend}
	s.http = http.Server{
		Handler:           s.routes(),
		ReadHeaderTimeout: readTimeout,
		ReadTimeout:       readTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ConnContext:       withCaller,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return s
}

// Serve answers requests on l until Close.
func (s *Server) Serve(l net.Listener) error {
	err := s.http.Serve(netutil.LimitListener(callers{l}, maxConnections))
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Close waits until running requests end, at most until ctx ends, then closes all connections and
// the listener, and removes the socket.
func (s *Server) Close(ctx context.Context) {
	if s.http.Shutdown(ctx) != nil {
		s.http.Close()
	}
}

// A request is an HTTP request whose body has been read.
type request struct {
	*http.Request
	body []byte
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, h func(request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { serve(w, r, h) })
	}
	handle("GET /v1/status", s.status)
	handle("GET /v1/explain", s.explain)
	handle("GET /v1/version", func(request) (any, error) { return Version{s.backend.Version()}, nil })
	handle("POST /v1/reload", s.reload)
	for _, a := range []Action{Up, Down, Rekey} {
		handle("POST /v1/"+string(a), func(r request) (any, error) { return s.act(r, a) })
	}
	handle("/", func(r request) (any, error) {
		return nil, &Error{Code: http.StatusNotFound, Text: fmt.Sprintf("there is no %s %s", r.Method, r.URL.Path)}
	})
	return mux
}

// serve reads the body, runs h and writes what it returns.
func serve(w http.ResponseWriter, r *http.Request, h func(request) (any, error)) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		answer(w, nil, &Error{Code: http.StatusRequestEntityTooLarge, Text: fmt.Sprintf("the body could not be read; send at most %d octets within %s", maxBody, readTimeout)})
		return
	}
	// The deadline is for reading the request. If kept, it would end handlers that wait for an
	// outcome.
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	value, err := h(request{r, body})
	answer(w, value, err)
}

func (s *Server) status(r request) (any, error) {
	if name := r.URL.Query().Get("peer"); name != "" {
		return s.backend.StatusOf(r.Context(), name)
	}
	return s.backend.Status(r.Context())
}

func (s *Server) explain(r request) (any, error) {
	name := r.URL.Query().Get("peer")
	if name == "" {
		return nil, &Error{Code: http.StatusBadRequest, Text: "peer is missing; use /v1/explain?peer=NAME"}
	}
	lines, err := s.backend.Explain(r.Context(), name)
	if err != nil {
		return nil, err
	}
	return Explanation{name, append([]string{}, lines...)}, nil
}

func (s *Server) reload(r request) (any, error) {
	how := ReloadHow{}
	if len(bytes.TrimSpace(r.body)) > 0 {
		if err := decode(r.body, &how); err != nil {
			return nil, &Error{Code: http.StatusBadRequest, Text: `the body must be empty, or have "dry_run" or "force": ` + err.Error()}
		}
	}
	return s.backend.Reload(r.Context(), how)
}

func (s *Server) act(r request, a Action) (any, error) {
	t, err := parseTarget(r.body)
	if err == nil && t.Once && a != Down {
		err = fmt.Errorf("once belongs to %s", Down)
	}
	if err != nil {
		return nil, &Error{Code: http.StatusBadRequest, Text: `the body must be {"peer": "NAME"} or {"peer": "NAME", "child": "NAME"}, for up also with "verify" or "ike_only": ` + err.Error()}
	}
	if t.Verify && a != Up {
		return nil, &Error{Code: http.StatusBadRequest, Text: fmt.Sprintf("verify goes with up, not with %s", a)}
	}
	switch {
	case t.Alone && a != Up:
		return nil, &Error{Code: http.StatusBadRequest, Text: fmt.Sprintf("ike_only goes with up, not with %s", a)}
	case t.Alone && (t.Child != "" || t.Verify):
		return nil, &Error{Code: http.StatusBadRequest, Text: "ike_only goes with a peer, without a child and without verify"}
	}
	t.By = caller(r.Context())
	ctx, cancel := context.WithTimeout(r.Context(), actTimeout)
	defer cancel()
	text, err := s.backend.Act(ctx, a, t)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, &Error{Code: http.StatusGatewayTimeout, Text: fmt.Sprintf("no outcome within %s; the action continues, see culvert status", actTimeout)}
	}
	if err != nil {
		return nil, err
	}
	return Outcome{text}, nil
}

func parseTarget(body []byte) (Target, error) {
	var t Target
	if err := decode(body, &t); err != nil {
		return t, err
	}
	if t.Peer == "" {
		return t, errors.New("peer is missing")
	}
	return t, nil
}

// decode reads one JSON object of known fields.
func decode(body []byte, to any) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(to); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("more than one value")
	}
	return nil
}

// answer writes a value or an error, with a deadline for slow readers.
func answer(w http.ResponseWriter, value any, err error) {
	code := http.StatusOK
	if err != nil {
		var e *Error
		if !errors.As(err, &e) {
			e = &Error{Code: http.StatusInternalServerError, Text: err.Error()}
		}
		code, value = e.Code, e
	}
	body, err := json.Marshal(value)
	if err != nil {
		code, body = http.StatusInternalServerError, []byte(`{"error": "the answer cannot be encoded as JSON"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", fmt.Sprint(len(body)+1))
	// The connection is closed at the deadline. Other connections are not affected.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout))
	w.WriteHeader(code)
	w.Write(append(body, '\n'))
}
