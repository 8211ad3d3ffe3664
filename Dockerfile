# A hub's image of the lessons, with CPU builds of PyTorch. Data sets lie on a volume:
#   docker build -t mixlab . && docker run -p 8888:8888 -v "$HOME/.cache/mixlab:/data" mixlab
FROM python:3.12-slim
RUN useradd --create-home --uid 1000 reader && mkdir /data && chown reader /data
USER 1000
WORKDIR /home/reader/mixlab
COPY --chown=reader . .
RUN python tools/set_up.py lab && rm -rf /home/reader/.cache/pip
ENV MIXLAB_DATA=/data PATH=/home/reader/mixlab/.venv/bin:$PATH
VOLUME /data
EXPOSE 8888
CMD ["jupyter", "lab", "--ip=0.0.0.0", "--no-browser", "--ServerApp.root_dir=notebooks"]
