// Package control implements the control socket, by which commands and other programs speak to a
// running daemon: HTTP with JSON over a Unix socket. docs/control.md describes it for users.
package control

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// SchemaVersion is the version of Status. It grows when a field changes its name or meaning, but
// not when fields are added.
const SchemaVersion = 1

// Status is the answer to GET /v1/status. Durations are in seconds; null where there is none.
type Status struct {
	Version      int               `json:"version"`
	Uptime       float64           `json:"uptime_s"`
	Guard        Guard             `json:"guard"`
	FastPath     string            `json:"fast_path"`      // how ESP comes as IP protocol 50: off, idle, on: DEVICES, socket: REASON
	FastSent     string            `json:"fast_path_sent"` // how it is sent: likewise, or on: DEVICES; socket: to ADDRESS: REASON
	KeyLog       string            `json:"key_log"`        // the folder where keys are written down; "" if they are not
	Peers        []Peer            `json:"peers"`
	Certificates []Certificate     `json:"certificates"` // that are configured
	Strangers    []Stranger        `json:"strangers"`
	Counters     map[string]uint64 `json:"counters"`
}

// Certificate is a configured certificate.
type Certificate struct {
	Subject   string    `json:"subject"`
	Issuer    string    `json:"issuer"`
	SHA256    string    `json:"sha256"` // the first 16 digits
	Use       string    `json:"use"`    // own, ca
	Peers     int       `json:"peers"`  // how many have it
	NotAfter  time.Time `json:"not_after"`
	ExpiresIn float64   `json:"expires_in_s"` // negative: it has expired
	Trouble   string    `json:"trouble"`      // what is wrong with its validity, or will be soon; "": nothing
}

// Stranger is a caller whose calls were refused before it was authenticated. All of it can be made
// up by anybody.
type Stranger struct {
	Remote  string   `json:"remote"`  // address and port
	Claims  string   `json:"claims"`  // the configured peer whose identity it named; "" if none
	Event   string   `json:"event"`   // call-refused, auth-failed
	Reason  string   `json:"reason"`  // of the last refusal
	Cause   string   `json:"cause"`   // likewise, as of a Failure
	Details []string `json:"details"` // likewise
	Times   int      `json:"times"`
	Last    float64  `json:"last_s"` // how long ago
}

// Guard is the filter in the kernel that holds protected traffic back where it would leave, or
// come, in plain.
type Guard struct {
	State   string     `json:"state"`  // on, none, off
	Reason  string     `json:"reason"` // why there is none
	Drops   GuardDrops `json:"drops"`
	Repairs uint64     `json:"repairs"`
}

// GuardDrops is what the guard has dropped since it was first put up.
type GuardDrops struct {
	Out  uint64 `json:"out"`
	In   uint64 `json:"in"`
	ICMP uint64 `json:"icmp"`
}

// ChildGuardDrops is what of GuardDrops was of a child, since the guard began to count by it.
type ChildGuardDrops struct {
	Out uint64 `json:"out"`
	In  uint64 `json:"in"`
}

// Peer is one configured peer, or one connected party of a peer with many.
type Peer struct {
	Name        string    `json:"name"`
	Party       string    `json:"party,omitempty"` // its identity, if the peer has many parties
	State       string    `json:"state"`           // down, connecting, established, rekeying, closing; manual
	Remote      string    `json:"remote"`          // address and port; before they are known, what is configured
	Local       string    `json:"local"`
	RemoteID    string    `json:"remote_id"`
	LocalID     string    `json:"local_id"` // as configured
	Role        string    `json:"role"`     // of the IKE SA: initiator, responder; "" without one
	Wanted      bool      `json:"wanted"`   // a child is to be up, or traffic asked for one
	SPIi        string    `json:"ike_spi_i"`
	SPIr        string    `json:"ike_spi_r"`
	Proposal    string    `json:"proposal"`
	NAT         string    `json:"nat"`  // none, local, remote, both
	Auth        string    `json:"auth"` // how both sides proved who they are; "" until they have
	Established *float64  `json:"established_s"`
	RekeyIn     *float64  `json:"rekey_in_s"`
	ExpiresIn   *float64  `json:"expires_in_s"` // the hard end of the IKE SA
	Reason      string    `json:"reason"`
	Unreachable string    `json:"unreachable"`       // what this host and ICMP errors say; "": nothing lately
	Failure     *Failure  `json:"failure"`           // of the last attempt; nil: none since it was up
	RefusedCall *Failure  `json:"refused_call"`      // from its address, perhaps of others; nil: none
	TakenDown   *Hold     `json:"taken_down"`        // nil: nobody took it down
	Verdicts    []Verdict `json:"verdicts"`          // what is wrong, the worst first
	Parties     *Parties  `json:"parties,omitempty"` // nil: of a single party
	Children    []Child   `json:"children"`
}

// Verdict is something that is wrong with a peer or one of its children, or should be known.
// docs/verdicts.md lists them.
type Verdict struct {
	Code   string `json:"code"`
	Level  string `json:"level"` // note, warn, bad
	Child  string `json:"child"` // "": of the peer as a whole
	Text   string `json:"text"`
	Remedy string `json:"remedy"` // what to do; "" if there is nothing
}

// A Failure is why a negotiation failed. The log and the error of "up" have the same words.
type Failure struct {
	Cause   string   `json:"cause"`   // one word, for programs
	Text    string   `json:"text"`    // what failed, with the first difference
	Details []string `json:"details"` // what both sides offered, and the like
	Last    float64  `json:"last_s"`  // how long ago it was
}

// Parties counts the parties of a peer with many.
type Parties struct {
	Connected int    `json:"connected"`
	Max       int    `json:"max"`
	Refused   uint64 `json:"refused"`
}

// Hold is the command by which an operator took something down, in force until up.
type Hold struct {
	By  string    `json:"by"`
	At  time.Time `json:"at"`
	For float64   `json:"for_s"`
}

// Role is what a child is among those with the same networks.
type Role struct {
	Active bool    `json:"active"` // packets are sent through it; the others stand by
	For    float64 `json:"for_s"`
	Why    string  `json:"why"`
}

// Address returns the name by which commands address the peer or the party: peer or peer#party.
func (p *Peer) Address() string {
	if p.Party == "" {
		return p.Name
	}
	return p.Name + "#" + p.Party
}

// Beside returns what a reason for a state says that neither the state nor a verdict on the peer
// does, so that nothing is told twice.
func (p *Peer) Beside(state, reason string) string {
	var rest []string
	for part := range strings.SplitSeq(reason, "; ") {
		told := part == state || slices.ContainsFunc(p.Verdicts, func(v Verdict) bool {
			return strings.Contains(v.Text, part) || strings.Contains(v.Remedy, part)
		})
		if !told {
			rest = append(rest, part)
		}
	}
	return strings.Join(rest, "; ")
}

// Child is one configured child.
type Child struct {
	Name        string            `json:"name"`
	State       string            `json:"state"` // down, waiting, negotiating, installed, rekeying
	Mode        string            `json:"mode"`  // tunnel, transport
	Encap       string            `json:"encap"` // esp, udp
	EncapWhy    string            `json:"encap_why"`
	SPIIn       string            `json:"spi_in"`
	SPIOut      string            `json:"spi_out"`
	Proposal    string            `json:"proposal"`
	LocalTS     []string          `json:"local_ts"`
	RemoteTS    []string          `json:"remote_ts"`
	AskedLocal  []string          `json:"asked_local_ts"` // as configured, or as agreed with the party
	AskedRemote []string          `json:"asked_remote_ts"`
	Narrowed    bool              `json:"narrowed"` // the peer granted less than asked
	MTU         int               `json:"mtu"`
	BytesIn     uint64            `json:"bytes_in"`
	BytesOut    uint64            `json:"bytes_out"`
	PacketsIn   uint64            `json:"packets_in"`
	PacketsOut  uint64            `json:"packets_out"`
	LastIn      *float64          `json:"last_in_s"`
	LastOut     *float64          `json:"last_out_s"`
	RekeyIn     *float64          `json:"rekey_in_s"`
	ExpiresIn   *float64          `json:"expires_in_s"` // the hard end of its SA
	Wanted      bool              `json:"wanted"`       // it is to be up
	Rekeys      int               `json:"rekeys"`
	Drops       map[string]uint64 `json:"drops"`
	GuardDrops  *ChildGuardDrops  `json:"guard_drops"` // nil: not counted by child
	Reason      string            `json:"reason"`
	Failure     *Failure          `json:"failure"`    // of the last negotiation; nil: none since it came up
	Role        *Role             `json:"role"`       // nil: no other child has its networks
	TakenDown   *Hold             `json:"taken_down"` // of the child or of the whole peer; nil: nobody took it down
	WorkerSAs   []WorkerSA        `json:"worker_sas"`
	PartSAs     []PartSA          `json:"part_sas"`
}

// PartSA is a Child SA of a child that carries a part of its networks, beside the one that the
// child's fields describe.
type PartSA struct {
	State      string   `json:"state"` // installed, rekeying
	SPIIn      string   `json:"spi_in"`
	SPIOut     string   `json:"spi_out"`
	LocalTS    []string `json:"local_ts"`
	RemoteTS   []string `json:"remote_ts"`
	BytesIn    uint64   `json:"bytes_in"`
	BytesOut   uint64   `json:"bytes_out"`
	PacketsIn  uint64   `json:"packets_in"`
	PacketsOut uint64   `json:"packets_out"`
	LastIn     *float64 `json:"last_in_s"`
	LastOut    *float64 `json:"last_out_s"`
	RekeyIn    *float64 `json:"rekey_in_s"`
}

// WorkerSA is a Child SA of a child that is for a single worker, beside the one for all (RFC 9611).
type WorkerSA struct {
	Worker     int      `json:"worker"` // counted from 0
	State      string   `json:"state"`  // negotiating, installed, rekeying
	SPIIn      string   `json:"spi_in"`
	SPIOut     string   `json:"spi_out"`
	SourcePort uint16   `json:"source_port"` // the worker's own, from which it is sent; 0: none
	SourceWhy  string   `json:"source_why"`  // why it has none; "": there is none to be had
	BytesIn    uint64   `json:"bytes_in"`
	BytesOut   uint64   `json:"bytes_out"`
	PacketsIn  uint64   `json:"packets_in"`
	PacketsOut uint64   `json:"packets_out"`
	LastIn     *float64 `json:"last_in_s"`
	LastOut    *float64 `json:"last_out_s"`
	RekeyIn    *float64 `json:"rekey_in_s"`
}

// Action is what a command asks to be done to a peer or child.
type Action string

// The actions.
const (
	Up    Action = "up"
	Down  Action = "down"
	Rekey Action = "rekey"
)

// Target is the body of POST /v1/up, down and rekey. Peer is a peer, or peer#party. An empty Child
// is the whole peer. With Verify, up rekeys once what is up. With Once,
// down only closes it. With Alone, up brings up the IKE SA of a whole peer and none of its
// children.
type Target struct {
	Peer   string `json:"peer"`
	Child  string `json:"child,omitempty"`
	Verify bool   `json:"verify,omitempty"`
	Once   bool   `json:"once,omitempty"`
	Alone  bool   `json:"ike_only,omitempty"`
	By     string `json:"-"` // the user who asked, as the kernel knows it; set by the server
}

// Outcome is their answer: what was done, in words.
type Outcome struct {
	Text string `json:"text"`
}

// ReloadHow is the body of POST /v1/reload; an empty body is its zero value. With DryRun nothing is
// changed. Without Force a configuration that removes more than half of the peers is refused.
type ReloadHow struct {
	DryRun bool `json:"dry_run,omitempty"`
	Force  bool `json:"force,omitempty"`
}

// Changes is the answer to POST /v1/reload: the changes, a line for each peer, the number of peers
// by what becomes of them, and the warnings about the new files.
type Changes struct {
	Changes  []string `json:"changes"`
	Summary  string   `json:"summary"`
	Warnings []string `json:"warnings"`
}

// Explanation is the answer to GET /v1/explain.
type Explanation struct {
	Peer  string   `json:"peer"`
	Lines []string `json:"lines"`
}

// Version is the answer to GET /v1/version.
type Version struct {
	Version string `json:"version"`
}

// An Error is a failure as the API reports it.
type Error struct {
	Code   int      `json:"-"` // the HTTP status
	Text   string   `json:"error"`
	Errors []string `json:"errors,omitempty"` // the single errors of a refused configuration
	// Details has what the two sides of a failed negotiation want, as far as it is known.
	Details []string `json:"details,omitempty"`
	Cause   string   `json:"cause,omitempty"` // of a failed negotiation, as of a Failure
}

func (e *Error) Error() string { return e.Text }

// MaxNamed is how many names that exist an error about one that does not exist gives.
const MaxNamed = 8

// NoPeer is the error for a peer that is not configured, among n that are; known are the first of
// them, of which it gives up to MaxNamed.
func NoPeer(name string, known []string, n int) *Error {
	return &Error{Code: http.StatusNotFound, Text: fmt.Sprintf("there is no peer %q: %s", name, configured(known, n))}
}

// NoParty is the error for a party that is not connected, of a configured peer with n that are.
func NoParty(peer, party string, n int) *Error {
	text := fmt.Sprintf("peer %q has no party %q that is connected", peer, party)
	if n > 0 {
		text += fmt.Sprintf(": \"culvert status %s\" shows the %d that are", peer, n)
	}
	return &Error{Code: http.StatusNotFound, Text: text}
}

// NoChild is the error for a child that is not configured.
func NoChild(peer, child string, known []string) *Error {
	return &Error{Code: http.StatusNotFound, Text: fmt.Sprintf("peer %q has no child %q: %s", peer, child, configured(known, len(known)))}
}

// configured lists the first of n names that exist, up to the number that fits into a line.
func configured(names []string, n int) string {
	names = names[:min(len(names), MaxNamed)]
	switch {
	case n == 0:
		return "none is configured"
	case n > len(names):
		return fmt.Sprintf("configured are %s and %d more", strings.Join(names, ", "), n-len(names))
	case n == 1:
		return "the only one is " + names[0]
	}
	return "configured are " + strings.Join(names, ", ")
}

// A Backend is the daemon as the server needs it. Any goroutine may call its methods. They return
// when ctx ends, and return an *Error where the HTTP status is not 500.
type Backend interface {
	Status(ctx context.Context) (*Status, error)
	// StatusOf has one peer with its parties, or one party; without such a one it returns NoPeer or
	// NoParty.
	StatusOf(ctx context.Context, name string) (*Status, error)
	// Act waits for the outcome.
	Act(ctx context.Context, a Action, t Target) (string, error)
	Reload(ctx context.Context, how ReloadHow) (*Changes, error)
	Explain(ctx context.Context, peer string) ([]string, error)
	Version() string
}
