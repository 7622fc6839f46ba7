package daemon

import (
	"crypto/rand"
	"crypto/x509"
	"maps"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"culvert/ike"
	"culvert/ike/certificate"
	"culvert/internal/certtest"
	"culvert/internal/config"
	"culvert/internal/revocation"
)

// other returns a value of a type that is not its zero value.
func other(t *testing.T, typ reflect.Type) reflect.Value {
	t.Helper()
	if typ == reflect.TypeFor[netip.Addr]() {
		return reflect.ValueOf(netip.MustParseAddr("192.0.2.9"))
	}
	if typ == reflect.TypeFor[*ike.Certificates]() {
		ca := certtest.CA(t, "ca", "p256", nil)
		return reflect.ValueOf(&ike.Certificates{Trust: certificate.NewTrust([]*x509.Certificate{ca.Cert})})
	}
	if typ == reflect.TypeFor[[]*revocation.CRL]() {
		crl, err := revocation.ParseCRL(crlOf(t, certtest.CA(t, "ca", "p256", nil)))
		if err != nil {
			t.Fatal(err)
		}
		return reflect.ValueOf([]*revocation.CRL{crl})
	}
	v := reflect.New(typ).Elem()
	switch typ.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		v.SetUint(1)
	case reflect.String:
		v.SetString("x")
	case reflect.Slice:
		v.Set(reflect.MakeSlice(typ, 1, 1))
	case reflect.Struct:
		v.Field(0).Set(other(t, typ.Field(0).Type))
	default:
		t.Fatalf("a setting of type %v", typ)
	}
	return v
}

// Every setting of [daemon] that changes is either applied or reported to need a restart.
func TestEveryDaemonSettingIsReported(t *testing.T) {
	typ := reflect.TypeFor[config.Daemon]()
	for i := range typ.NumField() {
		before, next := &config.Config{}, &config.Config{}
		reflect.ValueOf(&next.Daemon).Elem().Field(i).Set(other(t, typ.Field(i).Type))
		got := changes(before, next)
		if len(got) != 1 {
			t.Errorf("%s: got %q, want one change", typ.Field(i).Name, got)
			continue
		}
		applied := typ.Field(i).Name == "Log" || typ.Field(i).Name == "Bypass"
		if restart := strings.Contains(got[0], "takes effect when the daemon is started again"); restart == applied {
			t.Errorf("%s: got %q", typ.Field(i).Name, got[0])
		}
	}
}

// Every setting of a peer that changes is reported. Those that no SA depends on leave the SAs in
// place.
func TestEveryPeerSettingIsReported(t *testing.T) {
	var fields []string
	for _, f := range reflect.VisibleFields(reflect.TypeFor[config.Peer]()) {
		switch f.Name {
		// The children have lines of their own; Credential and Transport are not settings.
		case "Peer", "Name", "Children", "Manual", "Order", "Routing", "Credential", "Transport":
			continue
		}
		fields = append(fields, f.Name)
		old, p := &config.Peer{}, &config.Peer{}
		reflect.ValueOf(p).Elem().FieldByIndex(f.Index).Set(other(t, f.Type))
		got := peerChange(old, p)
		closed := strings.Contains(got, "its SAs are closed and set up again")
		stay := slices.Contains([]string{"Remote", "RemoteName", "MTU", "RemotePort", "RemoteNATPort", "Proposals", "Lifetime", "DPD", "DPDAction", "Fragment", "OtherPSKs", "AuthLifetime", "MaxParties", "Priority", "Retransmit", "Reconnect", "Revocation", "CRLs", "Staple", "OCSP", "Auth", "RemoteAuth", "Childless"}, f.Name)
		if got == "" || closed == stay {
			t.Errorf("%s: got %q", f.Name, got)
		}
	}
	if len(fields) < 15 {
		t.Errorf("tried only %q", fields)
	}
	if got := peerChange(&config.Peer{}, &config.Peer{}); got != "" {
		t.Errorf("without a change: got %q", got)
	}
}

// A line names the first eight networks and counts the others.
func TestSome(t *testing.T) {
	var list []netip.Prefix
	for i := range 10 {
		list = append(list, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i)}), 16))
	}
	for n, want := range map[int]string{
		0:  "",
		1:  "10.0.0.0/16",
		2:  "10.0.0.0/16, 10.1.0.0/16",
		8:  "10.7.0.0/16",
		9:  "10.7.0.0/16 and 1 more",
		10: "10.7.0.0/16 and 2 more",
	} {
		if got := some(list[:n]); got != want && (n < 8 || !strings.HasSuffix(got, ", "+want)) {
			t.Errorf("%d networks: got %q, want %q", n, got, want)
		}
	}
}

// settings are other values of the keys of a table, as TOML.
type settings map[string]string

var (
	daemonEdits = settings{
		"tun": `"culvert7"`, "control": `"/run/c7.sock"`, "state": `"/var/lib/c7"`, "crash_tokens": `"off"`, "key_log": `"/keys"`, "listen": `["192.0.2.1"]`, "ike_port": "501", "nat_port": "4501",
		"ike_dscp": "0", "workers": "3", "spin_us": "5", "mtu": "1300", "mtu_min": "600", "offloads": `"none"`, "fast_path": `"off"`, "guard": `"off"`, "bypass": `["10.4.7.0/24"]`, "mark": `"0x10/0x30"`,
		"route_table": "300", "rule_priority": "7", "log": `"debug"`, "log_format": `"json"`, "metrics": `"127.0.0.1:9000"`,
	}
	peerEdits = settings{
		"name": `"b"`, "remote": `"192.0.2.3"`, "remote_ike_port": "501", "remote_nat_port": "4501", "local": `"192.0.2.1"`, "local_id": `"another"`, "remote_id": `"another"`,
		"psk": `"another secret of some length"`, "ike_proposals": `["aes256gcm16-prfsha384-ecp384"]`, "ike_lifetime": `"3h"`, "auth_lifetime": `"24h"`, "encap": `"always"`, "dpd": `"7s"`,
		"dpd_action": `"clear"`, "fragment": "600", "pfs": `"off"`, "retransmit.first": `"2s"`, "retransmit.factor": "1.5", "retransmit.tries": "3", "retry.first": `"5s"`, "retry.max": `"30s"`, "max_parties": "9", "per_cpu": `"never"`, "childless": `"prefer"`, "mtu": "1300", "priority": "1", "psk_file": `"secret"`,
		"auth": `"psk"`, "remote_auth": `"psk"`, "cert": `"left.pem"`, "key": `"bare.key"`, "ca": `"ca.crt"`, "remote_key": `"right.pub"`, "remote_eku": `"server"`, "rsa_padding": `"pkcs1"`, "rsa_sha1": `"allow"`,
		"crl": `"ca.crl"`, "staple": `"off"`, "ocsp": `"left.ocsp"`, "revocation": `"strict"`,
	}
	childEdits = settings{
		"name": `"other"`, "mode": `"transport"`, "local": `["10.8.0.0/16"]`, "remote": `["10.9.0.0/16"]`, "bypass": `["10.2.9.0/24"]`, "routes": `"none"`, "proposals": `["aes256gcm16"]`, "start": `"boot"`, "narrow": `"peer"`, "children": `"per-pair"`,
		"lifetime.time": `"30m"`, "lifetime.bytes": `"1GiB"`, "lifetime.packets": "1000", "replay_window": "128", "esn": `"never"`,
		"manual.spi_out": `"0x1002"`, "manual.key_out": `"0x02000000000000000000000000000000"`, "manual.auth_key_out": `"0x0400000000000000000000000000000000000000"`,
		"manual.spi_in": `"0x2002"`, "manual.key_in": `"0x03000000000000000000000000000000"`, "manual.auth_key_in": `"0x0500000000000000000000000000000000000000"`, "manual.cipher": `"chacha20poly1305"`,
	}
	// manualKeys are the settings of manual before one of them is changed.
	manualKeys = settings{
		"spi_out": `"0x1001"`, "key_out": `"0x01000000000000000000000000000000"`, "auth_key_out": `"0x0600000000000000000000000000000000000000"`,
		"spi_in": `"0x2001"`, "key_in": `"0x00000000000000000000000000000000"`, "auth_key_in": `"0x0700000000000000000000000000000000000000"`, "cipher": `"aes128-sha1"`,
	}
	// otherKeys are those without an edit: no other value is supported, or they hold tables and
	// files, whose contents are compared.
	otherKeys = []string{"peer.ike", "peer.key_password", "peer.key_password_file", "peer.child", "daemon.include"}
)

// ofCertificates are keys that only a peer with certificates has.
var ofCertificates = []string{"peer.remote_eku", "peer.rsa_padding", "peer.rsa_sha1", "peer.crl", "peer.revocation", "peer.staple", "peer.ocsp"}

// inline returns settings as the value of a key.
func (t settings) inline() string {
	var list []string
	for _, k := range slices.Sorted(maps.Keys(t)) {
		list = append(list, k+" = "+t[k])
	}
	return "{ " + strings.Join(list, ", ") + " }"
}

// edit returns the configuration in which a key of a table is changed, such as
// "child.lifetime.bytes", before and after the change. edits are those of the table.
func edit(name string, edits settings) (before, after string) {
	table, key, _ := strings.Cut(name, ".")
	value := edits[key]
	outer, inner, isInner := strings.Cut(key, ".")
	switch {
	case outer == "manual":
		now := maps.Clone(manualKeys)
		now[inner] = value
		if inner == "cipher" { // which has other keys
			delete(now, "auth_key_in")
			delete(now, "auth_key_out")
			now["key_in"] = `"0x` + strings.Repeat("ab", 36) + `"`
			now["key_out"] = `"0x` + strings.Repeat("cd", 36) + `"`
		}
		return edited(table, outer, manualKeys.inline()), edited(table, outer, now.inline())
	case isInner:
		return edited("", "", ""), edited(table, outer, settings{inner: value}.inline())
	case name == "peer.max_parties": // only a pattern has them
		pattern := func(doc string) string {
			return strings.NewReplacer("remote = \"192.0.2.2\"\n", "", `remote_id = "a"`, `remote_id = "*.example.com"`).Replace(doc)
		}
		return pattern(edited("", "", "")), pattern(edited(table, key, value))
	case name == "child.mode": // only hosts have another
		hosts := func(doc string) string {
			return strings.NewReplacer(`"10.1.0.0/16"`, `"192.0.2.1"`, `"10.2.0.0/16"`, `"192.0.2.2"`).Replace(doc)
		}
		return hosts(edited("", "", "")), hosts(edited(table, key, value))
	case slices.Contains(ofCertificates, name):
		certified := func(doc string) string {
			return strings.Replace(doc, `psk = "0123456789abcdef"`, "cert = \"left.pem\"\nca = \"ca.crt\"", 1)
		}
		return certified(edited("", "", "")), certified(edited(table, key, value))
	}
	return edited("", "", ""), edited(table, key, value)
}

// edited returns a configuration, with one key of a table changed.
func edited(table, key, value string) string {
	peer := settings{"name": `"a"`, "remote": `"192.0.2.2"`, "local_id": `"me"`, "remote_id": `"a"`, "psk": `"0123456789abcdef"`}
	child := settings{"name": `"lan"`, "local": `["10.1.0.0/16"]`, "remote": `["10.2.0.0/16"]`}
	daemon := settings{}
	if t := map[string]settings{"daemon": daemon, "peer": peer, "child": child}[table]; t != nil {
		t[key] = value
	}
	if key == "psk_file" {
		delete(peer, "psk")
	}
	text := func(t settings) (text string) {
		for _, k := range slices.Sorted(maps.Keys(t)) {
			text += k + " = " + t[k] + "\n"
		}
		return text
	}
	const dmz = "[[peer.child]]\nname = \"dmz\"\nlocal = [\"10.3.0.0/16\"]\nremote = [\"10.4.0.0/16\"]\n"
	return "[daemon]\n" + text(daemon) + "[[peer]]\n" + text(peer) + "[[peer.child]]\n" + text(child) + dmz
}

// What a reload does with each key is what the reference says, and no key is forgotten.
func TestEveryKeyDoesWhatTheReferenceSays(t *testing.T) {
	reference, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	writeKeys(t, dir)
	load := func(doc string) *config.Config {
		t.Helper()
		path := filepath.Join(dir, "a.toml")
		for name, content := range map[string]string{path: doc, filepath.Join(dir, "secret"): "another secret of some length"} {
			if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		c, err := config.Load(path)
		if err != nil {
			t.Errorf("%v in\n%s", err, doc)
			return &config.Config{}
		}
		return c
	}
	promised, keys := reachesIn(string(reference)), keysIn(string(reference))
	if len(keys) < 65 || len(promised) < 30 {
		t.Fatalf("the reference has the keys %q, and says of a reload %v", keys, promised)
	}
	for _, name := range keys {
		table, key, _ := strings.Cut(name, ".")
		outer, _, _ := strings.Cut(key, ".")
		edits := map[string]settings{"daemon": daemonEdits, "peer": peerEdits, "child": childEdits}[table]
		switch want := promised[table+"."+outer]; {
		case slices.Contains(otherKeys, name):
			continue
		case edits[key] == "":
			t.Errorf("%s has no edit here", name)
		case want == "":
			t.Errorf("the reference does not say what a reload does with %s", name)
		default:
			before, after := edit(name, edits)
			lines := changes(load(before), load(after))
			if got := reachSaid(lines); got != want {
				t.Errorf("%s: the reference promises %q, a reload says %q", name, want, lines)
			}
		}
	}
}

// crlOf returns a CRL that lists some certificates of a CA.
func crlOf(t *testing.T, ca *certtest.Pair, revoked ...*certtest.Pair) []byte {
	t.Helper()
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: epoch.AddDate(0, 0, -1), NextUpdate: epoch.AddDate(20, 0, 0)}
	for _, r := range revoked {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: r.Cert.SerialNumber, RevocationTime: epoch})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, ca.Cert, ca.Key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// writeKeys writes the files that peerEdits name.
func writeKeys(t *testing.T, dir string) {
	t.Helper()
	ca := certtest.CA(t, "ca", "p256", nil)
	left := ca.Issue(t, "left", "p256", "me")
	for name, data := range map[string][]byte{
		"ca.crt": certtest.PEM(ca.Cert), "left.pem": append(certtest.PEM(left.Cert), certtest.KeyPEM(t, left.Key)...),
		"ca.crl": crlOf(t, ca), "left.ocsp": ocspOf(t, ca, left), "bare.key": certtest.KeyPEM(t, ca.Key), "right.pub": certtest.PublicPEM(t, left.Key.Public()),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// reachSaid returns the reach that the lines of a reload tell, as reachesIn names it.
func reachSaid(lines []string) string {
	said := strings.Join(lines, "\n")
	for _, r := range []struct{ words, reach string }{
		{"is removed: its SAs are deleted", "all are closed"},
		{"closed and set up again", "all are closed"},
		{"the SAs of child", "those of the child are closed"},
		{"from the next rekeying", "from the next rekeying"},
		{"from the next connection", "from the next connection"},
		{"when the daemon is started again", "at the next start"},
		{"its SAs stay", "in force at once"},
		{"[daemon] ", "in force at once"},
	} {
		if strings.Contains(said, r.words) {
			return r.reach
		}
	}
	return "nothing"
}

var (
	aKey     = regexp.MustCompile("`([a-z_0-9]+)`")
	aSection = regexp.MustCompile(`(?m)^## .\[+(?:peer\.)?(daemon|peer|child)\]+.\n`)
)

// keysIn returns the keys of the tables in the reference, each with its table, such as
// "child.lifetime.bytes". Those that hold a table which has a section are not among them.
func keysIn(reference string) (keys []string) {
	list := func(table, section string) {
		_, section, _ = strings.Cut(section, "| key | default | meaning |")
		section, _, _ = strings.Cut(section, "\n#")
		for line := range strings.Lines(section) {
			if k := aKey.FindStringSubmatch(line); strings.HasPrefix(line, "| `") && k != nil {
				keys = append(keys, table+"."+k[1])
			}
		}
	}
	for _, m := range aSection.FindAllStringSubmatchIndex(reference, -1) {
		list(reference[m[2]:m[3]], reference[m[1]:])
	}
	for _, section := range strings.Split(reference, "\n### `")[1:] {
		name, section, _ := strings.Cut(section, "`")
		section, _, _ = strings.Cut(section, "\n#")
		i := slices.IndexFunc(keys, func(k string) bool { return strings.HasSuffix(k, "."+name) })
		if i >= 0 && strings.Contains(section, "| key | default | meaning |") {
			outer := keys[i]
			keys = slices.Delete(keys, i, i+1)
			list(outer, section)
		}
	}
	return keys
}

// reachesIn returns what the reference says that a reload does with the SAs, by key.
func reachesIn(reference string) map[string]string {
	said := make(map[string]string)
	for key := range daemonEdits {
		said["daemon."+key] = "at the next start"
	}
	for _, key := range []string{"log", "bypass"} { // in the text before the table
		said["daemon."+key] = "in force at once"
	}
	said["child.name"] = "those of the child are closed" // it removes one and adds another
	_, text, _ := strings.Cut(reference, "| changed keys of a peer |")
	text, _, _ = strings.Cut(text, "\n\n")
	for line := range strings.Lines(text) {
		cells := strings.Split(line, "|")
		for _, reach := range []string{"in force at once", "from the next rekeying", "from the next connection", "those of the child are closed", "all are closed"} {
			if len(cells) < 3 || !strings.Contains(cells[2], reach) {
				continue
			}
			for _, part := range strings.Split(cells[1], ";") {
				table := "peer"
				if strings.Contains(part, " child") {
					table = "child"
				}
				for _, k := range aKey.FindAllStringSubmatch(part, -1) {
					said[table+"."+k[1]] = reach
				}
			}
		}
	}
	return said
}
