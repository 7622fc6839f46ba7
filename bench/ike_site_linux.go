package bench

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"

	"culvert/internal/netlab"
)

// ikeAddrs are the addresses of the clients and the server.
var ikeAddrs = [2]netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")}

// An ikeSite is two hosts with a link between them: at one end is the subject, at the other one a
// load. The clients are left, the server is right.
type ikeSite struct {
	lab     *netlab.Lab
	hosts   [2]*netlab.Host // left and right
	dir     string
	pki     *ikePKI // nil: a pre-shared key
	clients int
}

// An IKESubject is a daemon whose handshakes are measured.
type IKESubject interface {
	Name() string
	// Version returns the version, or an error if the subject is absent.
	Version(ctx context.Context) (string, error)
	// server starts the daemon at the right host of the site, as the server of any client.
	server(ctx context.Context, s *ikeSite) (*netlab.Process, error)
	// client starts it at the left host with an entry for each client, all of them down, and
	// returns a function that has all of them come up and may return before they are.
	client(ctx context.Context, s *ikeSite) (*netlab.Process, func() error, error)
}

func newIKESite(pki *ikePKI, clients int) (*ikeSite, error) {
	lab, err := netlab.New()
	if err != nil {
		return nil, err
	}
	s := &ikeSite{lab: lab, pki: pki, clients: clients}
	if err := s.build(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *ikeSite) build() (err error) {
	if s.dir, err = os.MkdirTemp("", "culvert-bench-"); err != nil {
		return err
	}
	var ends [2]netlab.Iface
	for i, name := range []string{"left", "right"} {
		if s.hosts[i], err = s.lab.Host(name); err != nil {
			return err
		}
		ends[i] = netlab.Iface{Host: s.hosts[i], Name: "wan", Addrs: []string{ikeAddrs[i].String() + "/24"}}
	}
	return errors.Join(s.lab.Link(ends[0], ends[1], 1500), s.hosts[1].LAN("lan", rightLAN.String()+"/16"))
}

func (s *ikeSite) close() {
	s.lab.Close()
	os.RemoveAll(s.dir)
}

// write writes a file into the site's folder.
func (s *ikeSite) write(name string, data []byte) (path string, err error) {
	path = filepath.Join(s.dir, name)
	return path, os.WriteFile(path, data, 0o600)
}

// credentials returns the certificate of a name at a side, of the client or the server, with its
// key, both as files.
func (s *ikeSite) credentials(name string, side int) (cert, key []byte, err error) {
	leaf, err := s.pki.leaf(name, side)
	if err != nil {
		return nil, nil, err
	}
	key, err = keyPEM(s.pki.sides[side])
	return certsPEM(leaf), key, err
}
