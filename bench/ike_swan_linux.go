package bench

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"culvert/internal/netlab"
)

// SwanIKE is the strongSwan on the PATH as an IKESubject, with its userspace ESP.
type SwanIKE struct{}

// Name returns the subject's name.
func (SwanIKE) Name() string { return IKERival }

// Version returns swanctl's version.
func (SwanIKE) Version(ctx context.Context) (string, error) {
	version, err := StrongSwan{}.Version(ctx)
	return strings.TrimSuffix(version, "; "), err
}

// quietSwan are settings without which one address has only few half-open IKE SAs, others are asked
// for cookies, and each handshake writes several lines to a file: a culvert does none of these
// here. Everything else, as threads, is as by default.
const quietSwan = `  block_threshold = 0
  cookie_threshold = 0
  filelog { log { default = 0
      flush_line = no
    } }
`

func (w SwanIKE) server(_ context.Context, s *ikeSite) (*netlab.Process, error) {
	cfg := netlab.SwanConfig{
		LocalID: ikeServer, RemoteID: "%any", PSK: ikePSK, IKE: ikeProposal, ESP: espProposal,
		Children: map[string][2]string{"net": {rightNet, ikeClientNets}}, Extra: quietSwan, Connection: "    unique = never\n",
	}
	if s.pki != nil {
		cert, key, err := s.credentials(ikeServer, 1)
		if err != nil {
			return nil, err
		}
		cfg.LocalAuth, cfg.RemoteAuth = "auth = pubkey\n      certs = own.crt", "auth = pubkey"
		cfg.Files = w.files(s, key, map[string][]byte{"x509/own.crt": cert})
	}
	swan, err := s.hosts[1].Swan(s.dir, cfg)
	if err != nil {
		return nil, err
	}
	return swan.Process(), nil
}

// files returns the files of a side, with its own certificates.
func (SwanIKE) files(s *ikeSite, key []byte, own map[string][]byte) map[string][]byte {
	own["private/own.key"] = key
	own["x509ca/root.crt"] = certsPEM(s.pki.root.cert)
	own["x509ca/intermediate.crt"] = certsPEM(s.pki.inter.cert)
	return own
}

func (w SwanIKE) client(_ context.Context, s *ikeSite) (*netlab.Process, func() error, error) {
	cfg := netlab.SwanConfig{LocalID: "unused", RemoteID: ikeServer, PSK: ikePSK, Extra: quietSwan, Files: map[string][]byte{}}
	auth := func(int) (local, remote string) { return "auth = psk", "auth = psk" }
	if s.pki != nil {
		for i := range s.clients {
			cert, key, err := s.credentials(ikeClient(i), 0)
			if err != nil {
				return nil, nil, err
			}
			cfg.Files[fmt.Sprintf("x509/c%d.crt", i)] = cert
			cfg.Files = w.files(s, key, cfg.Files)
		}
		auth = func(i int) (local, remote string) {
			return fmt.Sprintf("auth = pubkey\n certs = c%d.crt", i), "auth = pubkey"
		}
	}
	// kernel-libipsec needs an address within each client's network, and makes a route of each.
	var own []string
	var b strings.Builder
	for i := range s.clients {
		own = append(own, ikeClientNet(i).String())
		local, remote := auth(i)
		fmt.Fprintf(&b, "connections {\n c%[1]d {\n version = 2\n mobike = no\n encap = yes\n unique = never\n remote_addrs = %[2]s\n proposals = %[3]s\n local {\n %[4]s\n id = %[5]s\n }\n remote {\n %[6]s\n id = %[7]s\n }\n children { c%[1]d {\n local_ts = %[8]s\n remote_ts = %[9]s\n esp_proposals = %[10]s\n } }\n } }\n",
			i, ikeAddrs[1], ikeProposal, local, ikeClient(i), remote, ikeServer, ikeClientNet(i), ikeFarNet(i), espProposal)
	}
	fmt.Fprintf(&b, "secrets { ike-clients {\n id-1 = %%any\n secret = %q\n } }\n", ikePSK)
	cfg.More = b.String()
	if err := s.hosts[0].LAN("lan", own...); err != nil {
		return nil, nil, err
	}
	swan, err := s.hosts[0].Swan(s.dir, cfg)
	if err != nil {
		return nil, nil, err
	}
	return swan.Process(), func() error { return initiateAll(filepath.Join(s.dir, "vici.sock"), s.clients) }, nil
}

// initiateAll has strongSwan begin the handshakes of all clients. It does not wait for them.
func initiateAll(socket string, clients int) error {
	v, err := dialVICI(socket)
	if err != nil {
		return err
	}
	defer v.Close()
	for i := range clients {
		name := fmt.Sprint("c", i)
		answer, err := v.call("initiate", [2]string{"ike", name}, [2]string{"child", name}, [2]string{"timeout", "-1"}, [2]string{"init-limits", "no"})
		if err != nil {
			return err
		}
		if answer["success"] != "yes" {
			return errors.New("strongSwan does not initiate: " + answer["errmsg"])
		}
	}
	return nil
}
