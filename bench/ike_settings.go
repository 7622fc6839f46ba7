package bench

import (
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"time"
)

// IKESettings are the choices of `culvert bench ike`.
type IKESettings struct {
	Rounds  int
	Time    time.Duration // of each measurement of a responder
	Clients int           // that call, or are called for
	Hold    int           // IKE SAs to bring up and leave so; 0: handshakes are measured
	Only    string        // tests, see IKETestKeys; empty: all
	JSON    string
}

// Register adds the flags to f. The values that the settings hold are the defaults.
func (s *IKESettings) Register(f *flag.FlagSet) {
	f.IntVar(&s.Rounds, "rounds", s.Rounds, "`number` of interleaved rounds")
	f.DurationVar(&s.Time, "time", s.Time, "the `length` of each measurement")
	f.IntVar(&s.Clients, "clients", s.Clients, "`number` of clients with identities of their own")
	f.IntVar(&s.Hold, "hold", s.Hold, "bring up this `number` of IKE SAs with a Child SA each, and measure their memory instead")
	f.StringVar(&s.Only, "tests", s.Only, "make only these `tests`: "+strings.Join(IKETestKeys(), ","))
	f.StringVar(&s.JSON, "json", s.JSON, "write every measurement to this `file`")
}

// mostClients is the number of addresses that clients have.
const mostClients = 1 << 22

// Check returns an error if the settings are not usable.
func (s *IKESettings) Check() error {
	switch {
	case s.Rounds < 1:
		return errors.New("-rounds must be at least 1")
	case s.Time < least:
		return fmt.Errorf("-time must be at least %v", least)
	case s.Clients < 1 || s.Clients > mostClients:
		return fmt.Errorf("-clients must be 1 to %d", mostClients)
	case s.Hold < 0 || s.Hold > mostClients:
		return fmt.Errorf("-hold must be 0 to %d", mostClients)
	}
	_, err := s.chosen()
	return err
}

// An ikeKind is a test of handshakes: a way to authenticate, and the side that is measured.
type ikeKind struct {
	key, name string
	auth      ikeAuth
	initiator bool
}

// ikeKinds returns all of them, in the order of a round.
func ikeKinds() (kinds []ikeKind) {
	for _, initiator := range []bool{false, true} {
		for _, a := range ikeAuths {
			k := ikeKind{strings.ToLower(strings.FieldsFunc(a.name, func(r rune) bool { return r == '-' || r == ' ' })[0]) + "-responder", a.name + ", responder", a, initiator}
			if initiator {
				k.key, k.name = strings.Replace(k.key, "responder", "initiator", 1), strings.Replace(k.name, "responder", "initiator", 1)
			}
			kinds = append(kinds, k)
		}
	}
	return kinds
}

// ikeTests returns their names.
func ikeTests() (names []string) {
	for _, k := range ikeKinds() {
		names = append(names, k.name)
	}
	return names
}

// IKETestKeys returns the words of -tests.
func IKETestKeys() (keys []string) {
	for _, k := range ikeKinds() {
		keys = append(keys, k.key)
	}
	return keys
}

// chosen returns the tests that the settings name.
func (s *IKESettings) chosen() ([]ikeKind, error) {
	all := ikeKinds()
	if s.Only == "" {
		return all, nil
	}
	var out []ikeKind
	for word := range strings.SplitSeq(s.Only, ",") {
		i := slices.IndexFunc(all, func(k ikeKind) bool { return k.key == word })
		if i < 0 {
			return nil, fmt.Errorf("unknown test %q in -tests: use some of %s", word, strings.Join(IKETestKeys(), ", "))
		}
		out = append(out, all[i])
	}
	return out, nil
}
