package daemon

import (
	"compress/gzip"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Bounds of the metrics server.
const (
	metricsTimeout  = 10 * time.Second
	maxScrapes      = 4
	maxScrapeHeader = 16 << 10
)

// metricsServer serves /metrics. A scrape first gathers a sample, and then writes it line by line.
func metricsServer(take func(context.Context) (*sample, error), log *slog.Logger) *http.Server {
	slots := make(chan struct{}, maxScrapes)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
		default:
			http.Error(w, "too many scrapes at a time", http.StatusServiceUnavailable)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), metricsTimeout/2)
		defer cancel()
		s, err := take(ctx)
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		if err := answer(w, r, s); err != nil {
			log.Debug("a scrape ended early", "error", err)
		}
	})
	return &http.Server{
		Handler: mux, ReadTimeout: metricsTimeout, WriteTimeout: 2 * metricsTimeout, IdleTimeout: time.Minute, MaxHeaderBytes: maxScrapeHeader,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// answer writes the page, compressed if the client takes that, as Prometheus does.
func answer(w http.ResponseWriter, r *http.Request, s *sample) error {
	w.Header().Set("Content-Type", expositionType)
	w.Header().Set("Vary", "Accept-Encoding")
	if !takesGzip(r.Header.Values("Accept-Encoding")) {
		return s.write(w)
	}
	w.Header().Set("Content-Encoding", "gzip")
	z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return err
	}
	return errors.Join(s.write(z), z.Close())
}

// takesGzip reports whether the values of Accept-Encoding name gzip (RFC 9110, Section 12.5.3). A
// weight of 0 excludes it.
func takesGzip(values []string) bool {
	for coding := range strings.SplitSeq(strings.Join(values, ","), ",") {
		name, weight, _ := strings.Cut(coding, ";")
		if !strings.EqualFold(strings.TrimSpace(name), "gzip") {
			continue
		}
		q, err := strconv.ParseFloat(strings.TrimPrefix(strings.TrimSpace(weight), "q="), 64)
		return weight == "" || err == nil && q > 0
	}
	return false
}
