package hostpolicy

import (
	"errors"
	"net"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Policies of the kernel's own IPsec concern both directions.
func TestKernelIPsec(t *testing.T) {
	h := newHost(t)
	_, all, _ := net.ParseCIDR("192.0.2.0/24")
	policy := &netlink.XfrmPolicy{Src: all, Dst: all, Dir: netlink.XFRM_DIR_OUT, Action: netlink.XFRM_POLICY_BLOCK}
	if err := h.Do(func() error {
		if err := kernelIPsec(); err != nil {
			t.Errorf("without policies: %v", err)
		}
		err := netlink.XfrmPolicyAdd(policy)
		if errors.Is(err, unix.EPROTONOSUPPORT) {
			t.Skip("this kernel has no IPsec")
		}
		if err != nil {
			return err
		}
		if err := kernelIPsec(); !errors.Is(err, errKernelIPsec) {
			t.Errorf("with a policy: %v", err)
		}
		if v := Others(); !errors.Is(v.In, errKernelIPsec) || !errors.Is(v.Out, errKernelIPsec) {
			t.Errorf("with a policy: %v", v)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}
