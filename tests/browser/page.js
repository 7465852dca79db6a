// One party of a call, in a page. `party.js` calls these functions by name; what they return goes back to the test.

"use strict";

// Bytes of one message on the data channel, and how many may be on their way there and back: no more than finds room in
// the buffers of a busy machine, because Chromium takes long to recover from a burst of losses.
const CHUNK = 16 * 1024;
const WINDOW = 128 * 1024;

let connection;
let channel;
const candidates = [];

// Makes the connection, with a camera, a microphone and a data channel. The other party's data is sent back to it
// where `echoes`.
window.join = async (configuration, echoes) => {
    connection = new RTCPeerConnection(configuration);
    connection.addEventListener("icecandidate", ({ candidate }) => {
        if (candidate?.candidate) candidates.push(candidate.candidate);
    });
    connection.addEventListener("track", ({ track, streams: [stream] }) => {
        if (track.kind === "video") document.querySelector("video").srcObject = stream;
    });
    channel = connection.createDataChannel("data", { negotiated: true, id: 0 });
    channel.binaryType = "arraybuffer";
    if (echoes) channel.addEventListener("message", ({ data }) => channel.send(data));
    const media = await navigator.mediaDevices.getUserMedia({ audio: true, video: true });
    for (const track of media.getTracks()) connection.addTrack(track, media);
};

window.offer = async () => {
    await connection.setLocalDescription(await connection.createOffer());
    return described();
};

window.answer = async (description) => {
    await connection.setRemoteDescription(description);
    await connection.setLocalDescription(await connection.createAnswer());
    return described();
};

window.accept = (description) => connection.setRemoteDescription(description);

// Waits until the other party's sound and so many of its pictures have come; how many there were.
window.watch = async (frames) => {
    for (;;) {
        const stats = await all("inbound-rtp");
        const video = stats.find(({ kind }) => kind === "video");
        const audio = stats.find(({ kind }) => kind === "audio");
        if (video?.framesDecoded >= frames && audio?.totalAudioEnergy > 0) return video.framesDecoded;
        if (["failed", "closed"].includes(connection.connectionState)) {
            throw new Error(`the connection is ${connection.connectionState}`);
        }
        await new Promise((resolve) => setTimeout(resolve, 50));
    }
};

// Sends random bytes through the data channel and waits until as many have come back.
window.echo = async (length) => {
    const sent = new Uint8Array(length);
    for (let at = 0; at < length; at += CHUNK) crypto.getRandomValues(sent.subarray(at, at + CHUNK));
    const received = new Uint8Array(length);
    let arrived = 0;
    await until(channel, "open", () => channel.readyState === "open");
    channel.addEventListener("message", ({ data }) => {
        received.set(new Uint8Array(data), arrived);
        arrived += data.byteLength;
    });
    const start = performance.now();
    for (let at = 0; at < length; at += CHUNK) {
        await until(channel, "message", () => at - arrived < WINDOW);
        channel.send(sent.subarray(at, at + CHUNK));
    }
    await until(channel, "message", () => arrived >= length);
    return { sent: await digest(sent), received: await digest(received), millis: performance.now() - start };
};

// What the connection came to, and everything in which an address could stand.
window.report = async () => {
    const [transport] = await all("transport");
    const pairs = await all("candidate-pair");
    const locals = await all("local-candidate");
    const remotes = await all("remote-candidate");
    const pair = pairs.find(({ id }) => id === transport.selectedCandidatePairId);
    return {
        state: connection.connectionState,
        dtls: transport.dtlsState,
        local: locals.find(({ id }) => id === pair.localCandidateId),
        remote: remotes.find(({ id }) => id === pair.remoteCandidateId),
        remotes,
        candidates,
        descriptions: [connection.localDescription.sdp, connection.remoteDescription.sdp],
    };
};

window.leave = () => connection.close();

// The local description with all candidates.
async function described() {
    await until(connection, "icegatheringstatechange", () => connection.iceGatheringState === "complete");
    if (candidates.length === 0) throw new Error("no candidate");
    return connection.localDescription.toJSON();
}

async function until(target, event, holds) {
    while (!holds()) await new Promise((resolve) => target.addEventListener(event, resolve, { once: true }));
}

async function all(type) {
    return [...(await connection.getStats()).values()].filter((entry) => entry.type === type);
}

async function digest(bytes) {
    const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
    return Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
