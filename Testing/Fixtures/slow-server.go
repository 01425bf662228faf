// SPDX-License-Identifier: Apache-2.0

// A server on gorilla/websocket that sleeps for 8 s after the first second of each connection, as slow-server.py does.
//
//	slow-server FOLDER
package main

import (
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

const stall = 8 * time.Second
const stallAfterBytes = 16000

func main() {
	folder := os.Args[1]
	var connections int64
	upgrader := websocket.Upgrader{}
	handle := func(answer http.ResponseWriter, request *http.Request) {
		connection, err := upgrader.Upgrade(answer, request, nil)
		if err != nil {
			return
		}
		defer connection.Close()
		number := atomic.AddInt64(&connections, 1)
		fmt.Printf("connection %d\n", number)
		file, err := os.Create(filepath.Join(folder, fmt.Sprintf("%d.raw", number)))
		if err != nil {
			log.Fatal(err)
		}
		defer file.Close()
		bytesLeft := stallAfterBytes
		for {
			// Pings are answered in here, so none is during the sleep.
			_, audio, err := connection.ReadMessage()
			if err != nil {
				return
			}
			if _, err := file.Write(audio); err != nil {
				log.Fatal(err)
			}
			if bytesLeft > 0 {
				bytesLeft -= len(audio)
				if bytesLeft <= 0 {
					time.Sleep(stall)
				}
			}
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("listening on %d\n", listener.Addr().(*net.TCPAddr).Port)
	log.Fatal(http.Serve(listener, http.HandlerFunc(handle)))
}
