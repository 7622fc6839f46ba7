package config

import (
	"slices"
	"strings"
	"testing"

	"culvert/ike"
)

func TestAuth(t *testing.T) {
	dir := withKeys(t)
	const all = "cert = \"left.pem\"\nca = \"ca.crt\"\npsk = \"correct horse battery staple\"\n"
	cert, psk := ike.AuthCertificate, ike.AuthPSK
	for lines, want := range map[string]struct{ own, peers []ike.AuthKind }{
		all + "remote_auth = [\"psk\", \"cert\"]\n":                                         {nil, []ike.AuthKind{psk, cert}},
		all + "auth = [\"cert\", \"psk\"]\n":                                                {[]ike.AuthKind{cert, psk}, nil},
		all + "auth = [\"cert\", \"psk\"]\nremote_auth = \"cert\"\n":                        {[]ike.AuthKind{cert, psk}, []ike.AuthKind{cert}},
		"auth = \"psk\"\nca = \"ca.crt\"\npsk = \"correct horse battery staple\"\n":         {[]ike.AuthKind{psk}, nil},
		"psk = \"correct horse battery staple\"\nauth = \"psk\"\nremote_auth = [\"psk\"]\n": {[]ike.AuthKind{psk}, []ike.AuthKind{psk}},
		"cert = \"left.pem\"\nca = \"ca.crt\"\nauth = \"cert\"\nremote_auth = \"cert\"\n":   {[]ike.AuthKind{cert}, []ike.AuthKind{cert}},
		"key = \"bare.key\"\nremote_key = \"right.pub\"\nauth = \"cert\"\n":                 {[]ike.AuthKind{cert}, nil},
	} {
		cfg, err := loadIn(t, dir, keyed(lines))
		if err != nil || !slices.Equal(cfg.Peers[0].Auth, want.own) || !slices.Equal(cfg.Peers[0].RemoteAuth, want.peers) {
			t.Errorf("%q: %v, want %v", lines, err, want)
		}
	}
}

func TestBadAuth(t *testing.T) {
	dir := withKeys(t)
	const psk, certs = "psk = \"correct horse battery staple\"\n", "cert = \"left.pem\"\nca = \"ca.crt\"\n"
	for name, c := range map[string]struct{ lines, want string }{
		"a word":            {psk + "auth = \"eap\"\n", `a.toml:7: peer "right": auth = "eap" is not valid; use one of psk, cert, or a list of both, the preferred one first`},
		"a word of a list":  {psk + "remote_auth = [\"psk\",\n\"none\"]\n", `a.toml:8: peer "right": remote_auth = "none" is not valid`},
		"twice":             {psk + "auth = [\"psk\", \"psk\"]\n", `auth lists "psk" twice; remove one of them`},
		"empty":             {psk + "auth = []\n", `auth is empty; use "psk", "cert", or a list of both`},
		"empty word":        {psk + "auth = \"\"\n", `auth is empty; use "psk", "cert", or a list of both`},
		"no secret":         {certs + "remote_auth = [\"cert\", \"psk\"]\n", `a.toml:8: peer "right": remote_auth lists "psk", and there is no psk; set psk or psk_file, or remove it from the list`},
		"no certificate":    {psk + "auth = [\"cert\", \"psk\"]\n", `a.toml:7: peer "right": auth lists "cert", and there is no cert or key; set one of them, or remove it from the list`},
		"no CA":             {psk + "remote_auth = [\"cert\", \"psk\"]\n", `remote_auth lists "cert", and there is no ca or remote_key; set one of them, or remove it from the list`},
		"idle certificate":  {certs + psk + "auth = \"psk\"\n", `a.toml:6: peer "right": cert has no effect with auth = "psk"; remove it, or list "cert" in auth`},
		"idle key":          {"key = \"bare.key\"\nremote_key = \"right.pub\"\n" + psk + "auth = \"psk\"\n", `a.toml:6: peer "right": key has no effect with auth = "psk"; remove it, or list "cert" in auth`},
		"idle CA":           {certs + psk + "remote_auth = \"psk\"\n", `a.toml:7: peer "right": ca has no effect with remote_auth = "psk"; remove it, or list "cert" in remote_auth`},
		"idle secret":       {certs + psk + "auth = \"cert\"\n", `a.toml:8: peer "right": psk has no effect, as both sides prove themselves by certificates or keys; remove it, or list "psk" in auth or remote_auth`},
		"nothing of ours":   {"ca = \"ca.crt\"\nremote_auth = \"cert\"\n", `nothing says how this side proves itself; set cert and key, or psk`},
		"nothing of theirs": {"cert = \"left.pem\"\nauth = \"cert\"\n", `nothing says how the peer proves itself; set ca to the CA of its certificate`},
	} {
		_, err := loadIn(t, dir, keyed(c.lines))
		if got := texts(err); len(got) != 1 || !strings.Contains(got[0], c.want) {
			t.Errorf("%s:\ngot  %q\nwant %s", name, got, c.want)
		}
	}
}

// An entry that takes a secret or a certificate is like one that takes the secret alone.
func TestEitherIsToldApart(t *testing.T) {
	dir := withKeys(t)
	doc := keyed("cert = \"left.pem\"\nca = \"ca.crt\"\npsk = \"correct horse battery staple\"\nremote_auth = [\"cert\", \"psk\"]\n")
	for lines, by := range map[string]string{
		"psk = \"correct horse battery staple\"\n":  "psk, ca or remote_key",
		"cert = \"left.pem\"\nca = \"ca.crt\"\n":    "ca or remote_key",
		"cert = \"left.pem\"\nca = \"other.crt\"\n": "",
	} {
		second := strings.NewReplacer(`"right"`, `"right2"`, "10.2.0.0", "10.3.0.0").Replace(keyed(lines))
		_, err := loadIn(t, dir, doc+second)
		if got := texts(err); by == "" && err != nil || by != "" && (len(got) != 1 || !strings.Contains(got[0], "are those of the peer at")) {
			t.Errorf("%q: %q", lines, got)
		}
	}
}
