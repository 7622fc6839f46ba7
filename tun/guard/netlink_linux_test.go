package guard

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// socketIn calls f with a socket in a new host.
func socketIn(t *testing.T, f func(s *socket)) {
	t.Helper()
	err := newHost(t).Do(func() error {
		s, err := openSocket()
		if err != nil {
			return err
		}
		defer s.close()
		f(s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A batch takes effect as a whole or not at all, and the socket goes on after a refusal.
func TestCommitAllOrNothing(t *testing.T) {
	socketIn(t, func(s *socket) {
		for range 3 {
			b := newBatch("culvert-x")
			b.addTable()
			b.addChain("abc")
			b.deleteChain("none")
			if err := s.commit(b); !errors.Is(err, unix.ENOENT) || !strings.Contains(err.Error(), "removal of chain none") {
				t.Errorf("got %v", err)
			}
			if names, err := s.tables(); err != nil || len(names) > 0 {
				t.Errorf("after a refusal there are %q, %v", names, err)
			}
		}
		b := newBatch("culvert-x")
		b.addTable()
		if err := s.commit(b); err != nil {
			t.Error(err)
		}
		if names, err := s.tables(); err != nil || !slices.Equal(names, []string{"culvert-x"}) {
			t.Errorf("there are %q, %v", names, err)
		}
	})
}

// A batch that is larger than any buffer is sent nevertheless.
func TestCommitLarge(t *testing.T) {
	socketIn(t, func(s *socket) {
		b := newBatch("culvert-x")
		b.addTable()
		const n = 4000
		for i := range n {
			b.addChain("chain-" + strings.Repeat("x", 60) + string(rune('a'+i%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i/676)))
		}
		if len(b.buf) < 2*minRoom {
			t.Fatalf("a batch of %d octets shows nothing", len(b.buf))
		}
		if err := s.commit(b); err != nil {
			t.Fatal(err)
		}
		chains := 0
		q := newBatch("culvert-x")
		q.begin(subsystem|unix.NFT_MSG_GETCHAIN, unix.NLM_F_DUMP, "the chains")
		if err := s.dump(q, func(uint16, []byte) { chains++ }); err != nil || chains != n {
			t.Errorf("there are %d chains, %v", chains, err)
		}
	})
}

// Errors of the kernel say what is missing.
func TestRemedies(t *testing.T) {
	for err, want := range map[error]string{
		unix.EPERM: "CAP_NET_ADMIN is required", unix.EOPNOTSUPP: "load the modules", unix.EAFNOSUPPORT: "CONFIG_NF_TABLES_INET", unix.EBUSY: unix.EBUSY.Error(),
	} {
		got := remedy(err)
		if !strings.Contains(got.Error(), want) {
			t.Errorf("%v: got %v", err, got)
		}
		if err == unix.EPERM {
			err = os.ErrPermission
		}
		if !errors.Is(got, err) {
			t.Errorf("%v is not %v", got, err)
		}
	}
}

// The send buffer grows before a batch needs it, whatever the size of the batch.
func TestCommitOfEachSize(t *testing.T) {
	for size := minRoom - 30<<10; size < 3*minRoom; size += 50 << 10 {
		socketIn(t, func(s *socket) {
			b := newBatch("culvert-x")
			b.addTable()
			for i := 0; len(b.buf) < size; i++ {
				b.addCounter("a name that is rather long "+strconv.Itoa(i), 0)
			}
			if err := s.commit(b); err != nil {
				t.Errorf("%d octets: %v", len(b.buf), err)
			}
		})
	}
}
