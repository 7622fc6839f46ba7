package bench

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"culvert/internal/control"
	"culvert/internal/netlab"
)

// CulvertIKE is a culvert binary as an IKESubject.
type CulvertIKE struct{ Binary string }

// Name returns the subject's name.
func (CulvertIKE) Name() string { return "culvert" }

// Version returns the binary's version.
func (c CulvertIKE) Version(ctx context.Context) (string, error) {
	return firstLine(ctx, c.Binary, "version")
}

func (c CulvertIKE) server(ctx context.Context, s *ikeSite) (*netlab.Process, error) {
	keys, err := c.keys(s, ikeServer, 1)
	if err != nil {
		return nil, err
	}
	text := fmt.Sprintf("[[peer]]\nname = \"clients\"\nlocal_id = %q\nremote_id = %q\n%s[[peer.child]]\nlocal = [%q]\nremote = [%q]\nproposals = [%q]\n",
		ikeServer, ikeClients, keys, rightNet, ikeClientNets, espProposal)
	return c.start(ctx, s, 1, text, "clients")
}

func (c CulvertIKE) client(ctx context.Context, s *ikeSite) (*netlab.Process, func() error, error) {
	var b strings.Builder
	for i := range s.clients {
		keys, err := c.keys(s, ikeClient(i), 0)
		if err != nil {
			return nil, nil, err
		}
		fmt.Fprintf(&b, "[[peer]]\nname = \"c%d\"\nremote = %q\nlocal_id = %q\nremote_id = %q\nencap = \"always\"\n%s[[peer.child]]\nlocal = [%q]\nremote = [%q]\nproposals = [%q]\nstart = \"never\"\nroutes = \"none\"\n",
			i, ikeAddrs[1], ikeClient(i), ikeServer, keys, ikeClientNet(i), ikeFarNet(i), espProposal)
	}
	p, err := c.start(ctx, s, 0, b.String(), "c0")
	return p, func() error { return c.upAll(ctx, s) }, err
}

// upAll has all clients come up.
func (CulvertIKE) upAll(ctx context.Context, s *ikeSite) error {
	client := control.NewClient(filepath.Join(s.dir, "control.sock"))
	var next atomic.Int64
	var workers sync.WaitGroup
	errs := make([]error, inFlight)
	for w := range errs {
		workers.Go(func() {
			for i := int(next.Add(1) - 1); i < s.clients && errs[w] == nil; i = int(next.Add(1) - 1) {
				_, errs[w] = client.Act(ctx, control.Up, control.Target{Peer: fmt.Sprint("c", i)})
			}
		})
	}
	workers.Wait()
	return errors.Join(errs...)
}

// keys writes the keys of a side, and returns the settings of a peer that has them.
func (CulvertIKE) keys(s *ikeSite, name string, side int) (string, error) {
	if s.pki == nil {
		return fmt.Sprintf("psk = %q\nike_proposals = [%q]\n", ikePSK, ikeProposal), nil
	}
	cert, key, err := s.credentials(name, side)
	if err != nil {
		return "", err
	}
	_, e1 := s.write(name+".crt", append(cert, certsPEM(s.pki.inter.cert)...))
	_, e2 := s.write("own.key", key)
	_, e3 := s.write("ca.crt", certsPEM(s.pki.root.cert))
	return fmt.Sprintf("cert = %q\nkey = \"own.key\"\nca = \"ca.crt\"\nike_proposals = [%q]\n", name+".crt", ikeProposal), errors.Join(e1, e2, e3)
}

// start starts the daemon at a side of the site, and waits until an entry is in force.
func (c CulvertIKE) start(ctx context.Context, s *ikeSite, side int, peers, entry string) (*netlab.Process, error) {
	socket := filepath.Join(s.dir, "control.sock")
	file, err := s.write("culvert.toml", fmt.Appendf(nil, "[daemon]\ncontrol = %q\ncrash_tokens = \"off\"\nlog = \"warn\"\n%s", socket, peers))
	if err != nil {
		return nil, err
	}
	p, err := s.hosts[side].Start(nil, nil, c.Binary, "run", "--config", file)
	if err != nil {
		return nil, err
	}
	client := control.NewClient(socket)
	err = netlab.Until(ctx, "the daemon", func() bool { _, err := client.Status(ctx, entry); return err == nil })
	return p, err
}
