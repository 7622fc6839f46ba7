package netio

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// words says how packets are sent: by which of some devices past the IP stack, and why those of
// other paths are not.
func (h *hopCache) words(devices map[int]string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	on, not := make(map[string]bool), make(map[string]string) // devices; remotes, and why
	for _, e := range h.table.Load().entries {
		switch {
		case e.hop.Load() != nil:
			on[devices[e.link]] = true
		case e.why != nil:
			not[e.key.remote.String()] = strings.TrimPrefix(e.why.Error(), "netio: ")
		}
	}
	why := ""
	if remotes := slices.Sorted(maps.Keys(not)); len(remotes) > 0 {
		why = fmt.Sprintf("to %s: %s", remotes[0], not[remotes[0]])
		if more := len(remotes) - 1; more > 0 {
			why += fmt.Sprintf(", and to %d more", more)
		}
	}
	names := strings.Join(slices.Sorted(maps.Keys(on)), ",")
	switch {
	case names == "" && why == "":
		return "idle"
	case names == "":
		return "socket: " + why
	case why == "":
		return "on: " + names
	}
	return "on: " + names + "; socket: " + why
}
