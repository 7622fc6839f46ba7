package esp_test

import (
	"fmt"

	"culvert/esp"
)

// One side seals packets with its outbound SA; the other opens them, in place, with the inbound SA
// of the same SPI and key, and refuses what comes a second time.
func ExampleOutbound_Seal() {
	key := make([]byte, 16+4) // the cipher's key, then the salt; a real one is random
	cipher := esp.Cipher{ID: esp.AESGCM16, KeyBits: 128}
	out, err := esp.NewOutbound(&esp.SA{SPI: 0xc0ffee01, Key: key, Cipher: cipher})
	if err != nil {
		panic(err)
	}
	in, err := esp.NewInbound(&esp.SA{SPI: 0xc0ffee01, Key: key, Cipher: cipher, ReplayWindow: 64})
	if err != nil {
		panic(err)
	}

	var scratch esp.Scratch // one per goroutine
	packet := []byte("an IPv4 packet")
	seq, _, err := out.Reserve(1, len(packet))
	if err != nil {
		panic(err)
	}
	sealed := out.Seal(&scratch, make([]byte, out.SealedLen(len(packet))), seq, packet, esp.NextIPv4)
	again := append([]byte(nil), sealed...)

	run := []esp.Packet{{Data: sealed}, {Data: again}}
	in.Open(&scratch, run)
	fmt.Printf("%s, sequence number %d\n", run[0].Data, run[0].Seq)
	fmt.Println(run[1].Err)
	// Output:
	// an IPv4 packet, sequence number 1
	// esp: sequence number seen before or behind the replay window
}
