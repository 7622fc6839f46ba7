package netlab

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Masquerade makes the host a NAT for packets that leave by the interface, IPv4 and IPv6. Source
// ports are random (as those of home NATs are under contention), so that the peer never sees 500 or
// 4500. It needs nft.
func (h *Host) Masquerade(out string) error {
	return h.NFT(
		"add table inet nat",
		"add chain inet nat post { type nat hook postrouting priority 100; }",
		fmt.Sprintf(`add rule inet nat post oifname "%s" meta l4proto { tcp, udp } masquerade fully-random`, out),
		fmt.Sprintf(`add rule inet nat post oifname "%s" masquerade`, out))
}

// ForgetMappings clears the NAT's connection tracking table: the next packet from inside gets a new
// mapping.
func (h *Host) ForgetMappings() error {
	for _, family := range []netlink.InetFamily{unix.AF_INET, unix.AF_INET6} {
		if _, err := h.nl.ConntrackDeleteFilters(netlink.ConntrackTable, family, everyFlow{}); err != nil {
			return fmt.Errorf("%s: conntrack: %w", h.Name, err)
		}
	}
	return nil
}

type everyFlow struct{}

func (everyFlow) MatchConntrackFlow(*netlink.ConntrackFlow) bool { return true }

// Block makes the host drop packets that match an nft expression, its own and forwarded ones, until
// Unblock.
func (h *Host) Block(expr string) error {
	return h.NFT(
		"add table inet block",
		"add chain inet block sent { type filter hook output priority 0; }",
		"add chain inet block forwarded { type filter hook forward priority 0; }",
		"add rule inet block sent "+expr+" drop",
		"add rule inet block forwarded "+expr+" drop")
}

// Unblock removes every Block.
func (h *Host) Unblock() error { return h.NFT("delete table inet block") }

// NFT runs nft with the commands.
func (h *Host) NFT(commands ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err := h.Run(ctx, nil, "nft", strings.Join(commands, "\n"))
	return err
}
