package driver

import (
	"context"
	"log/slog"
	"net/netip"

	"culvert/ike/wire"
)

// trace logs one IKE message at level debug by what its header says in the clear; what is in SK{} stays there. Nothing of it has been checked: a message is logged
// whatever becomes of it. It costs nothing at other levels.
func (d *Driver) trace(event string, local, remote netip.AddrPort, data []byte) {
	if !d.cfg.Log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	attrs := []slog.Attr{slog.String("event", event), slog.String("local", local.String()), slog.String("remote", remote.String()), slog.Int("octets", len(data))}
	h, err := wire.ParseHeader(data)
	if err != nil {
		d.cfg.Log.LogAttrs(context.Background(), slog.LevelDebug, "no IKE message: "+err.Error(), attrs...)
		return
	}
	what := "request"
	if h.Response {
		what = "response"
	}
	attrs = append(attrs, slog.String("exchange", h.Exchange.String()), slog.Uint64("msgid", uint64(h.MessageID)),
		slog.String("ike_spi_i", h.InitiatorSPI.String()), slog.String("ike_spi_r", h.ResponderSPI.String()))
	d.cfg.Log.LogAttrs(context.Background(), slog.LevelDebug, h.Exchange.String()+" "+what, attrs...)
}
