package control

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func seconds(s float64) *float64 { return &s }

// example is the status of docs/control.md.
func example() Status {
	return Status{Version: SchemaVersion, Uptime: 12.3, Guard: Guard{State: "on", Drops: GuardDrops{Out: 3}}, FastPath: "on: eth0", FastSent: "idle", Counters: map[string]uint64{"ike_malformed": 0, "esp_unknown_spi": 0},
		Certificates: []Certificate{{Subject: "CN=left.example.com", Issuer: "CN=Example CA", SHA256: "0123456789abcdef", Use: "own", Peers: 1, NotAfter: time.Date(2027, 1, 31, 12, 0, 0, 0, time.UTC), ExpiresIn: 20000000}},
		Strangers: []Stranger{{Remote: "203.0.113.9:500", Claims: "right", Event: "auth-failed", Reason: "203.0.113.9:500: authentication of right.example.com failed: the pre-shared keys differ; it called left.example.com", Cause: "psk",
			Details: []string{"ours: left.example.com", "theirs: right.example.com, by pre-shared key, to left.example.com"}, Times: 12, Last: 3.5}},
		Peers: []Peer{{Name: "right", State: "established", Remote: "192.0.2.2:500", Local: "192.0.2.1:500", RemoteID: "right.example.com", LocalID: "left.example.com", Role: "initiator", Wanted: true, ExpiresIn: seconds(31000),
			SPIi: "0123456789abcdef", SPIr: "fedcba9876543210", Proposal: "aes256gcm16-prfsha384-x25519", Auth: "pre-shared key", NAT: "none",
			Verdicts:    []Verdict{{Code: "small-path", Level: "note", Child: "lan", Text: "the path takes packets of 1480 octets, and this host's link 1500: packets inside have up to 1426"}},
			Established: seconds(10.1), RekeyIn: seconds(28000), Children: []Child{{
				Name: "lan", State: "installed", Mode: "tunnel", Encap: "esp", EncapWhy: "there is no NAT", SPIIn: "c0ffee01", SPIOut: "deadbeef", Proposal: "aes128gcm16-esn",
				LocalTS: []string{"10.1.0.0/16"}, RemoteTS: []string{"10.2.0.0/16"}, AskedLocal: []string{"10.1.0.0/16"}, AskedRemote: []string{"10.2.0.0/16"}, MTU: 1446, RekeyIn: seconds(3200), ExpiresIn: seconds(3900), Wanted: true,
				Drops: map[string]uint64{"replay": 0, "icv": 0}, GuardDrops: &ChildGuardDrops{Out: 3},
				PartSAs: []PartSA{}, WorkerSAs: []WorkerSA{{Worker: 1, State: "installed", SPIIn: "c0ffee03", SPIOut: "deadbee0", SourcePort: 40123, PacketsOut: 1000, BytesOut: 1400000,
					LastOut: seconds(0.1), RekeyIn: seconds(3300)}}}, {
				Name: "far", State: "down", Mode: "tunnel", LocalTS: []string{"10.1.0.0/16"}, RemoteTS: []string{"10.9.0.0/16"}, AskedLocal: []string{"10.1.0.0/16"}, AskedRemote: []string{"10.9.0.0/16"},
				Drops: map[string]uint64{}, Reason: "networks do not meet: the peer's 10.8.0.0/16 has no partner in our remote 10.9.0.0/16; waiting for traffic", PartSAs: []PartSA{}, WorkerSAs: []WorkerSA{},
				Failure: &Failure{Cause: "networks", Text: "networks do not meet: the peer's 10.8.0.0/16 has no partner in our remote 10.9.0.0/16",
					Details: []string{"ours: local 10.1.0.0/16, remote 10.9.0.0/16", "theirs: local 10.1.0.0/16, remote 10.8.0.0/16"}, Last: 2.5}}}}}}
}

// TestSchema holds the names, the order and the types of the JSON: scripts rely on them.
func TestSchema(t *testing.T) {
	got, err := json.MarshalIndent(example(), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	const golden = "testdata/status.json"
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the JSON has changed; if that is meant, and docs/control.md says so, run with -update\ngot  %s\nwant %s", got, want)
	}
}

// TestDocumentedExample compares the example of docs/control.md with the same status made here.
func TestDocumentedExample(t *testing.T) {
	doc, err := os.ReadFile("../../docs/control.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(doc), "```json\n")
	text, _, _ = strings.Cut(text, "```")
	var got Status
	dec := json.NewDecoder(strings.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&got); err != nil {
		t.Fatal(err)
	}
	if want := example(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// TestEveryFieldIsDocumented looks for each JSON key in docs/control.md.
func TestEveryFieldIsDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/control.md")
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(example())
	if err != nil {
		t.Fatal(err)
	}
	var tree map[string]any
	if err := json.Unmarshal(data, &tree); err != nil {
		t.Fatal(err)
	}
	peer := tree["peers"].([]any)[0].(map[string]any)
	child := peer["children"].([]any)[0].(map[string]any)
	worker := child["worker_sas"].([]any)[0].(map[string]any)
	stranger := tree["strangers"].([]any)[0].(map[string]any)
	for _, object := range []map[string]any{tree, peer, child, worker, stranger} {
		for name := range object {
			if !strings.Contains(string(doc), "`"+name+"`") {
				t.Errorf("%s is not documented", name)
			}
		}
	}
}

func TestNamesOfWhatIsNotThere(t *testing.T) {
	ten := []string{"1", "2", "3", "4", "5", "6", "7", "8", "9", "10"}
	for want, got := range map[string]*Error{
		`peer "a" has no child "x": none is configured`:                                        NoChild("a", "x", nil),
		`peer "a" has no child "x": the only one is b`:                                         NoChild("a", "x", []string{"b"}),
		`peer "a" has no child "x": configured are 1, 2, 3, 4, 5, 6, 7, 8 and 2 more`:          NoChild("a", "x", ten),
		`there is no peer "x": configured are 1, 2, 3, 4, 5, 6, 7, 8 and 99992 more`:           NoPeer("x", ten[:MaxNamed], 100000),
		`there is no peer "x": configured are 1, 2, 3, 4, 5, 6, 7, 8`:                          NoPeer("x", ten[:MaxNamed], MaxNamed),
		`peer "a" has no party "x" that is connected`:                                          NoParty("a", "x", 0),
		`peer "a" has no party "x" that is connected: "culvert status a" shows the 3 that are`: NoParty("a", "x", 3),
	} {
		if got.Text != want || got.Code != http.StatusNotFound {
			t.Errorf("got  %d %s\nwant %s", got.Code, got.Text, want)
		}
	}
}

// TestBeside: what a verdict says, or the state, is not said again.
func TestBeside(t *testing.T) {
	p := Peer{Verdicts: []Verdict{{Text: "no answer; it is so", Remedy: "is it on?"}}}
	for reason, want := range map[string]string{
		"": "", "connecting": "", "no answer; it is so; next try in 3 s": "next try in 3 s", "it is so; is it on?; connecting": "", "refused; next try in 3 s": "refused; next try in 3 s",
	} {
		if got := p.Beside("connecting", reason); got != want {
			t.Errorf("%q: %q, want %q", reason, got, want)
		}
	}
}
