package netlab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Swan is a strongSwan in a host, by default with its userspace ESP (kernel-libipsec, always in
// UDP): Debian's packages charon-systemd and strongswan-swanctl.
type Swan struct {
	host *Host
	root string // see SwanConfig
	dir  string // within root
	proc *Process
}

// SwanConfig is one connection ("culvert") with one PSK, or with certificates. Empty fields have
// strongSwan's defaults.
type SwanConfig struct {
	LocalAddr, RemoteAddr string // default %any
	LocalID, RemoteID     string
	PSK                   string
	// LocalAuth and RemoteAuth are the settings of how the sides authenticate, lines of "name =
	// value". Default: auth = psk.
	LocalAuth, RemoteAuth string
	// Files are loaded from swanctl's folders, by their names in there, such as "x509/right.crt" or
	// "private/right.key".
	Files                map[string][]byte
	IKE, ESP             string               // proposals
	Children             map[string][2]string // name -> local_ts, remote_ts
	IKERekey, ChildRekey string               // like "4h", "1h"; exact (no jitter) when set
	ChildLife            string               // the hard limit; default 110 % of ChildRekey
	DPD                  string
	Extra                string // charon settings, lines of "name = value"
	Connection           string // connection settings, likewise
	Child                string // settings of every child, likewise
	More                 string // further sections of swanctl.conf
	Debug                int
	// Root is the folder of another system whose charon runs; empty: this host's. The directory of
	// the files must be within it.
	Root string
	// KernelESP has the kernel carry the packets, RawESP its userspace, as protocol 50 where there
	// is no NAT (strongSwan 6).
	KernelESP, RawESP bool
}

// SwanAvailable reports whether strongSwan's programs are installed.
func SwanAvailable() error {
	for _, p := range []string{"charon-systemd", "swanctl"} {
		if _, err := exec.LookPath(p); err != nil {
			return fmt.Errorf("%s is not installed (make test installs it; or: apt-get install charon-systemd strongswan-swanctl libstrongswan-standard-plugins libcharon-extra-plugins)", p)
		}
	}
	return nil
}

// Swan starts strongSwan in the host, with all its files in the given directory.
func (h *Host) Swan(dir string, cfg SwanConfig) (*Swan, error) {
	s := &Swan{host: h, root: cfg.Root, dir: strings.TrimPrefix(dir, cfg.Root)}
	for _, d := range []string{"x509", "x509ca", "x509ocsp", "x509aa", "x509ac", "x509crl", "pubkey", "private", "rsa", "ecdsa", "pkcs8", "pkcs12", "conf.d"} {
		if err := os.MkdirAll(filepath.Join(dir, "swanctl", d), 0o700); err != nil {
			return nil, err
		}
	}
	if err := s.write(cfg); err != nil {
		return nil, err
	}
	var err error
	// charon-systemd rather than charon, which has one pid file for the whole machine.
	command := InRoot(cfg.Root, "charon-systemd")
	s.proc, err = h.Start(s.env(), nil, command[0], command[1:]...)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	if err := Until(ctx, "strongSwan's control socket", s.listening); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, s.proc.Output())
	}
	if _, err := s.Ctl(ctx, "--load-all"); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Swan) listening() bool {
	_, err := os.Stat(filepath.Join(s.root, s.dir, "vici.sock"))
	return err == nil
}

// uri returns the address of the control socket, within the root.
func (s *Swan) uri() string { return "unix://" + filepath.Join(s.dir, "vici.sock") }

func (s *Swan) env() []string {
	return []string{"STRONGSWAN_CONF=" + filepath.Join(s.dir, "strongswan.conf"), "SWANCTL_DIR=" + filepath.Join(s.dir, "swanctl")}
}

// Ctl runs swanctl: Ctl(ctx, "--list-sas"), Ctl(ctx, "--initiate", "--child", "net").
func (s *Swan) Ctl(ctx context.Context, args ...string) (string, error) {
	args = append([]string{"swanctl"}, append(args, "--uri", s.uri())...)
	args = InRoot(s.root, args[0], args[1:]...)
	return s.host.Run(ctx, s.env(), args[0], args[1:]...)
}

// Process returns the daemon's process.
func (s *Swan) Process() *Process { return s.proc }

// Log returns strongSwan's log.
func (s *Swan) Log() string {
	b, _ := os.ReadFile(filepath.Join(s.root, s.dir, "log"))
	return string(b)
}

// Kill ends strongSwan by SIGKILL; Stop lets it delete its SAs.
func (s *Swan) Kill() { s.proc.Kill() }

// Stop ends strongSwan in order.
func (s *Swan) Stop() bool { return s.proc.Stop(10 * time.Second) }

func (s *Swan) write(cfg SwanConfig) error {
	dir := filepath.Join(s.root, s.dir)
	for name, data := range cfg.Files {
		if err := os.WriteFile(filepath.Join(dir, "swanctl", name), data, 0o600); err != nil {
			return err
		}
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "strongswan.conf"), []byte(s.daemonConf(cfg)), 0o600),
		os.WriteFile(filepath.Join(dir, "swanctl", "swanctl.conf"), []byte(cfg.connections()), 0o600))
}

// daemonConf returns strongswan.conf. kernel-libipsec comes before kernel-netlink; the marks let
// the encapsulated packets bypass the tunnel's own routes, which matters if a selector includes the
// peer's address. Paths are quoted, because strongSwan gives a # or a brace another meaning.
func (s *Swan) daemonConf(cfg SwanConfig) string {
	kernel, raw := "kernel-libipsec kernel-netlink", ""
	if cfg.KernelESP {
		kernel = "kernel-netlink"
	}
	if cfg.RawESP {
		raw = "      raw_esp = yes\n"
	}
	return fmt.Sprintf(`charon {
  load = random nonce aes sha1 sha2 hmac kdf drbg gmp curve25519 chapoly gcm ccm ctr openssl pem pkcs1 pkcs8 x509 revocation constraints pubkey %[5]s socket-default updown vici counters
  plugins {
    vici { socket = %[1]q
    }
    kernel-netlink { fwmark = !0x42
    }
    socket-default { fwmark = 0x42
    }
    kernel-libipsec { allow_peer_ts = yes
%[6]s    }
  }
  filelog { log { path = %[4]q
      default = %[2]d
      time_format = %%H:%%M:%%S
      flush_line = yes
      append = no
    } }
  syslog { daemon { default = -1
    } }
  retransmit_tries = 3
  retransmit_timeout = 2.0
%[3]s
}
swanctl { load = random nonce openssl pem pkcs1 pkcs8 x509 pubkey sha1 sha2 aes hmac
}
`, s.uri(), max(cfg.Debug, 1), cfg.Extra, filepath.Join(s.dir, "log"), kernel, raw)
}

func (c SwanConfig) connections() string {
	var b strings.Builder
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "    %s = %s\n", name, value)
		}
	}
	b.WriteString("connections {\n  culvert {\n    version = 2\n    mobike = no\n    fragmentation = yes\n")
	if !c.KernelESP && !c.RawESP {
		line("encap", "yes")
	}
	line("local_addrs", c.LocalAddr)
	line("remote_addrs", c.RemoteAddr)
	line("proposals", c.IKE)
	line("dpd_delay", c.DPD)
	if c.IKERekey != "" {
		line("rekey_time", c.IKERekey)
		line("rand_time", "0s")
	}
	b.WriteString(c.Connection)
	fmt.Fprintf(&b, "    local {\n      %s\n      id = %s\n    }\n    remote {\n      %s\n      id = %s\n    }\n    children {\n",
		cmp.Or(c.LocalAuth, "auth = psk"), c.LocalID, cmp.Or(c.RemoteAuth, "auth = psk"), c.RemoteID)
	for name, ts := range c.Children {
		fmt.Fprintf(&b, "      %s { local_ts = %s\n        remote_ts = %s\n        start_action = none\n", name, ts[0], ts[1])
		line("esp_proposals", c.ESP)
		if c.ChildRekey != "" {
			line("rekey_time", c.ChildRekey)
			line("rand_time", "0s")
		}
		line("life_time", c.ChildLife)
		b.WriteString(c.Child)
		b.WriteString("      }\n")
	}
	fmt.Fprintf(&b, "    }\n  }\n}\nsecrets {\n  ike-culvert { id-1 = %s\n    id-2 = %s\n    secret = %q\n  }\n}\n", c.LocalID, c.RemoteID, c.PSK)
	return b.String() + c.More
}
