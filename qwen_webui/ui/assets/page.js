// The page's own script: starts the rooms beside it. Gradio draws the components; these files do
// what Gradio has no component for. No eval and nothing from another host.
import { startBar } from "./bar.js";
import { startChat } from "./chat.js";
import { startFrame } from "./frame.js";
import { startJson } from "./json.js";
import { startSide } from "./side.js";
import { startTabs } from "./tabs.js";
import { startTurns } from "./turns.js";

startTabs();
startTurns();
startFrame();
startSide();
startChat();
startBar();
startJson();
