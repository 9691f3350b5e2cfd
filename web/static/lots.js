// Times until a sale go on while the page is open; without JavaScript they are those of when it was made.
const words = new Intl.RelativeTimeFormat(document.documentElement.lang, { numeric: "always" });
const times = [...document.querySelectorAll("time[data-until]")];
const tell = () => {
  for (const each of times) {
    const minutes = Math.trunc((Date.parse(each.dateTime) - Date.now()) / 60000);
    const size = Math.abs(minutes);
    if (size < 60) each.textContent = words.format(minutes, "minute");
    else if (size < 2880) each.textContent = words.format(Math.trunc(minutes / 60), "hour");
    else each.textContent = words.format(Math.trunc(minutes / 1440), "day");
  }
};
if (times.length) setInterval(tell, 30000);
