// The page's own script: starts the rooms beside it. Gradio draws the components; these files do
// what Gradio has no component for. No eval and nothing from another host.
import { startAttach } from "./attach.js";
import { startBar } from "./bar.js";
import { startChat } from "./chat.js";
import { startCitations } from "./citations.js";
import { startCompare } from "./compare.js";
import { startFrame } from "./frame.js";
import { startJson } from "./json.js";
import { startMonitor } from "./monitor.js";
import { startSide } from "./side.js";
import { startTabs } from "./tabs.js";
import { startTurns } from "./turns.js";

startTabs();
startTurns();
startAttach();
startFrame();
startSide();
startChat();
startCitations();
startBar();
startJson();
startMonitor();
startCompare();
